"""The checks that have a name: functions of an answer and its reference that return 1 for right and 0 for wrong."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import TypeAlias

from aya_plugins.checks.quantities import unit
from aya_plugins.foreign_patterns import matches
from aya_plugins.numerals import last_number

Match: TypeAlias = Callable[..., float]
"""From answer and reference to a score."""


def exact(answer: str, reference: str) -> float:
    """Score 1 for the reference itself, apart from outer spaces and Unicode composition, else 0."""
    return float(_plain(answer) == _plain(reference))


def number(answer: str, reference: str, tolerance: float = 0.0) -> float:
    """Score 1 if the last number of the answer is that of the reference, in any digits and grouping, else 0.

    "1.234" may mean 1234 or 1.234; either may match. Raises ValueError for a reference without a number.

    tolerance: how far off it may be, as a share of the reference.
    """
    expected = last_number(reference)
    if not expected:
        raise ValueError(f"the reference {reference!r} holds no number")
    share = Decimal(str(tolerance))
    return float(any(abs(given - right) <= share * abs(right) for right in expected for given in last_number(answer)))


def regex(answer: str, reference: str) -> float:
    """Score 1 if the reference, a regular expression, matches anywhere in the answer, else 0.

    Raises TimeoutError for one that takes longer than 2 s, as `(a+)+$` may on 30 letters.
    """
    return float(matches(reference, answer))


NAMED: Mapping[str, Match] = {"exact": exact, "number": number, "regex": regex, "unit": unit}

FORGIVING = ("number", "unit")
"""Those that take a tolerance."""


def with_tolerance(tolerance: float) -> Mapping[str, Match]:
    """The named checks, those of numbers with this tolerance unless they are called with another."""
    return {name: partial(match, tolerance=tolerance) if name in FORGIVING else match for name, match in NAMED.items()}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
