"""Checks of an answer against what is known to be right, for the verifier arbiter and the verifier evaluator.

A check is a function of the answer and its prompt that returns a score, higher is better. A recipe names
one of CHECKS, or a function of its own as `module:function`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeAlias

from aya_core.api import PluginError, Prompt, Verdict, did_you_mean
from aya_plugins.numerals import last_number

Check: TypeAlias = Callable[[str, Prompt], float]


def exact(answer: str, prompt: Prompt) -> float:
    """Score 1 for the reference itself, apart from outer spaces and Unicode composition, else 0."""
    return float(_plain(answer) == _plain(prompt.reference or ""))


def number(answer: str, prompt: Prompt) -> float:
    """Score 1 if the last number of the answer is that of the reference, in any digits and grouping, else 0.

    "1.234" may mean 1234 or 1.234; either may match. Raises ValueError for a reference without a number.
    """
    expected = last_number(prompt.reference or "")
    if not expected:
        raise ValueError(f"the reference {prompt.reference!r} holds no number")
    return float(not expected.isdisjoint(last_number(answer)))


def regex(answer: str, prompt: Prompt) -> float:
    """Score 1 if the reference, a regular expression, matches anywhere in the answer, else 0."""
    return float(re.search(prompt.reference or "", answer) is not None)


CHECKS: Mapping[str, Check] = {"exact": exact, "number": number, "regex": regex}
"""The checks that have a name."""

CHECK_DESCRIPTION = "exact, number, regex, or a function of answer and prompt that returns a score, as module:function."


def check_name(value: str) -> str:
    """Return the name of a check, or a `module:function`; raise ValueError for anything else."""
    module, colon, function = value.partition(":")
    if value in CHECKS or (colon and function.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        return value
    raise ValueError(f"no check named '{value}'; {did_you_mean(value, CHECKS)} (or module:function)")


def load_check(name: str) -> Check:
    """Find a check by its name. Raises PluginError for a module or function that cannot be had."""
    if name in CHECKS:
        return CHECKS[name]
    module, _, function = name.partition(":")
    try:
        check: Check = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"check '{name}': {error}; expected an importable module:function") from error
    if not callable(check):
        raise PluginError(f"check '{name}': a {type(check).__name__}; expected a function of answer and prompt")
    return check


def verdict(check: Check, answer: str, prompt: Prompt) -> Verdict:
    """Check one answer: abstain without a reference, fail on an exception or a score that is not finite."""
    if prompt.reference is None:
        return Verdict.abstain("the prompt has no reference")
    try:
        score = float(check(answer, prompt))
    except Exception as error:  # the check is a stranger's code, and one bad answer must not end the run
        return Verdict.fail(f"{type(error).__name__}: {error}")
    if not math.isfinite(score):
        return Verdict.fail(f"the check gave {score}")
    return Verdict(score)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
