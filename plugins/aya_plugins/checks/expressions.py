"""Checks written into the recipe as a Python expression.

The expression is the recipe author's own code and runs with the author's rights: this is no sandbox. Rows are only
ever values in it: what an answer, a reference or a meta entry says is never evaluated.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from aya_core.api import Prompt, did_you_mean
from aya_plugins.checks.named import NAMED, Match

VALUES = ("answer", "reference", "language", "meta")
"""What an expression is told of a row. meta: a mapping of texts."""

BUILTINS: Mapping[str, Any] = {
    function.__name__: function
    for function in (
        abs, all, any, bool, dict, enumerate, float, int, len, list, max, min, range, reversed, round, set, sorted, str,
        sum, tuple, zip,
    )
}  # fmt: skip

MODULES: Mapping[str, Any] = {"math": math, "re": re}


def check_expression(text: str | None) -> str | None:
    """Return an expression that compiles and names only what it will find; raise ValueError for any other."""
    if text is not None:
        known = (*VALUES, *NAMED, *BUILTINS, *MODULES)
        for name in sorted(names_in(text)):
            if name not in known:
                raise ValueError(f"nothing named '{name}' in an expression; {did_you_mean(name, known)}")
    return text


def names_in(text: str) -> set[str]:
    """The names that an expression wants to be given. Raises ValueError for what is no expression."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"not a Python expression ({error})") from None
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)
    }
    return {node.id for node in names} - own


@dataclass(frozen=True)
class Expression:
    """A compiled expression, as a check."""

    code: CodeType
    needs_reference: bool
    named: Mapping[str, Match]

    def __call__(self, answer: str, prompt: Prompt) -> float:
        """Evaluate it for one answer. Raises TypeError for a value that is neither a number nor a truth value."""
        row = {"answer": answer, "reference": prompt.reference, "language": prompt.language, "meta": prompt.meta}
        value = eval(self.code, {"__builtins__": BUILTINS, **MODULES, **self.named, **row})
        if not isinstance(value, (bool, int, float)):
            raise TypeError(f"the expression gave {value!r:.80}; expected a number or a truth value")
        return float(value)


def compile_expression(text: str, named: Mapping[str, Match]) -> Expression:
    """Compile an expression that `check_expression` passed."""
    return Expression(compile(text.strip(), "<expression>", "eval"), "reference" in names_in(text), named)
