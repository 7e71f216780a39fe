"""Settings of everything that checks answers, and the checking itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, model_validator

from aya_core.api import DataError, Field, PluginError, Prompt, Settings, Verdict, did_you_mean
from aya_plugins.checks.expressions import check_expression, compile_expression, names_in
from aya_plugins.checks.named import FORGIVING, NAMED, Match, with_tolerance

Check: TypeAlias = Callable[[str, Prompt], float]
"""From an answer and its prompt to a score. Abstains without a reference, unless it has `needs_reference = False`."""

DEFAULT = "exact"


def check_name(value: str | None) -> str | None:
    """Return the name of a check, or a `module:function`; raise ValueError for anything else."""
    if value is None or value in NAMED:
        return value
    module, colon, function = value.partition(":")
    if colon and function.isidentifier() and all(map(str.isidentifier, module.split("."))):
        return value
    raise ValueError(f"no check named '{value}'; {did_you_mean(value, NAMED)} (or module:function)")


class CheckOptions(Settings):
    """What makes an answer right."""

    check: Annotated[str | None, AfterValidator(check_name)] = Field(
        None,
        description="exact (the default), number, regex, unit, or a function of answer and prompt that returns a score, as "
        "module:function.",
    )
    expression: Annotated[str | None, AfterValidator(check_expression)] = Field(
        None,
        description="In place of check: a Python expression of answer, reference, language and meta, such as "
        "number(answer, reference) and len(answer) < 400. It may call exact, number, regex and unit with two texts. It is "
        "your code, run as such; rows are never run.",
    )
    by: str | None = Field(
        None,
        min_length=1,
        description="Entry of the prompts' meta that names the check of each row: exact, number, regex or unit. Where it is "
        "empty, check or expression decides.",
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="How far off number and unit may be, as a share of the reference: 0.01 forgives one percent.",
    )

    @model_validator(mode="after")
    def _makes_sense_together(self) -> Self:
        if self.check is not None and self.expression is not None:
            raise ValueError("check and expression exclude each other; keep one")
        used = {self.check or DEFAULT} if self.expression is None else names_in(self.expression)
        if self.tolerance and self.by is None and not used & set(FORGIVING):
            raise ValueError(f"tolerance is about {' and '.join(FORGIVING)}; leave it out, or choose one of these")
        if "unit" in used and find_spec("pint") is None:
            raise ValueError('the check unit needs pint; install the extra: pip install "aya-core[eval]"')
        return self

    @property
    def code_modules(self) -> tuple[str, ...]:
        """The module of a function that `check` names."""
        return (self.check.partition(":")[0],) if self.check is not None and ":" in self.check else ()

    @property
    def signature(self) -> Mapping[str, str]:
        """What decides, as a signature names it."""
        check = {"check": self.expression or self.check or DEFAULT}
        return {
            **check,
            **({"by": self.by} if self.by else {}),
            **({"tolerance": str(self.tolerance)} if self.tolerance else {}),
        }

    def checking(self) -> Checking:
        """Load the checks. Raises PluginError for a module or function that cannot be had."""
        named = with_tolerance(self.tolerance)
        checks = {name: partial(_of_reference, match) for name, match in named.items()}
        if self.expression is not None:
            return Checking(compile_expression(self.expression, named), checks, self.by)
        name = self.check or DEFAULT
        return Checking(checks[name] if name in checks else _load(name), checks, self.by)


@dataclass(frozen=True)
class Checking:
    """Checks answers."""

    default: Check
    named: Mapping[str, Check]
    by: str | None = None

    def verdict(self, answer: str, prompt: Prompt) -> Verdict:
        """Check one answer: abstain without a reference, fail on an exception or a score that is not finite.

        Raises DataError for a prompt that does not name a check where it should.
        """
        check = self._check(prompt)
        if prompt.reference is None and getattr(check, "needs_reference", True):
            return Verdict.abstain("the prompt has no reference")
        try:
            score = float(check(answer, prompt))
        except PluginError:
            raise
        except Exception as error:  # the check is a stranger's code, and one bad answer must not end the run
            return Verdict.fail(f"{type(error).__name__}: {error}")
        if not math.isfinite(score):
            return Verdict.fail(f"the check gave {score}")
        return Verdict(score)

    def _check(self, prompt: Prompt) -> Check:
        if self.by is None:
            return self.default
        if self.by not in prompt.meta:
            raise DataError(
                f"prompt '{prompt.id}' has no '{self.by}' in its meta; {did_you_mean(self.by, prompt.meta)} "
                "(a table puts the columns there that `columns.meta` lists)"
            )
        name = prompt.meta[self.by].strip()
        if name and name not in self.named:
            raise DataError(
                f"prompt '{prompt.id}': meta '{self.by}' names no check: '{name}'; {did_you_mean(name, self.named)}"
            )
        return self.named[name] if name else self.default


def _of_reference(match: Match, answer: str, prompt: Prompt) -> float:
    return match(answer, prompt.reference or "")


def _load(name: str) -> Check:
    module, _, function = name.partition(":")
    try:
        check: Check = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"check '{name}': {error}; expected an importable module:function") from error
    if not callable(check):
        raise PluginError(f"check '{name}': a {type(check).__name__}; expected a function of answer and prompt")
    return check
