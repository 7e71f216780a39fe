"""Numbers with their units in running text: "3 km" is "3000 m"."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from aya_core.api import PluginError
from aya_plugins.numerals import next_number, prepared

ROUNDING = Decimal("1e-20")
"""What converting may lose of 28 digits, as a share, for some factors (5/9 for °F) are no finite decimals."""

LONGEST_UNIT = 200
"""Characters of a unit; nobody writes longer ones but a model that is caught in a loop."""

_WORD = "[A-Za-zÅåΩμ°%‰]++(?:_[A-Za-z]++)*+"
_POWER = r"(?:(?:(?:\^|\*\*)[-−+]?|)\d(?!\d|[.,]\d))?"
_SIZE = r"(?:(?:square|cubic|sq|cu)\.?\s)?"
_FACTOR = rf"{_SIZE}{_WORD}(?:\s(?:squared|cubed)\b|{_POWER})"
_SIGN = r"(?:\s?(?:/|·|⋅|\bper\b)\s?|(?<!\*)\*(?!\*))"  # a star with a space beside it is Markdown
_UNIT = re.compile(rf"\s?({_FACTOR}(?:{_SIGN}{_FACTOR})*+)(?!\s?[/·⋅*]\s?\()", re.IGNORECASE)
_TEN = re.compile(r"(?:\s?[×x*·⋅]\s?10(?:\^|\*\*)|[eE])([-−+]?\d{1,3})(?!\d)")
_SIZES = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_SUPERSCRIPTS = re.compile("[⁺⁻⁰¹²³⁴-⁹]+")
_TWO_WORDS = re.compile(r"\b(nautical|light|metric|fluid)[ -](miles?|years?|tons?|ounces?)\b", re.IGNORECASE)
_DEGREES = re.compile(r"\bdegrees?\s+(?=celsius|fahrenheit)", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """A number, with the values that it may mean, and its unit; None for a bare number."""

    values: frozenset[Decimal]
    unit: Any


def unit(answer: str, reference: str, tolerance: float = 0.0) -> float:
    """Score 1 if the last number of the answer, with the unit behind it, is the quantity of the reference, else 0.

    Units are those of the library pint: symbols of the SI with their prefixes, English names and the usual others (km/h,
    "square metres", °F, %). Digits and grouping are read as by `number`, in any script; 3e5 and 3 × 10^5 too. A number
    without a unit, or with one of another dimension, is wrong. Currencies are no units.

    tolerance: how far off it may be, as a share of the reference and in its unit. Raises ValueError for a reference
    whose last number has no unit.
    """
    expected, given = last_quantity(reference), last_quantity(answer)
    if expected is None or expected.unit is None:
        raise ValueError(
            f"the reference {reference!r} holds no number with a unit of measure; the check number needs none"
        )
    if given is None or given.unit is None or given.unit.dimensionality != expected.unit.dimensionality:
        return 0.0
    share = Decimal(str(tolerance))
    return float(
        any(_near(one, two, given.unit, expected.unit, share) for one in given.values for two in expected.values)
    )


def last_quantity(text: str) -> Quantity | None:
    """Read the last number of a text and the unit behind it."""
    text = _compatible(text)
    found, place = None, 0
    while number := next_number(text, place):
        values, place = number
        if ten := _TEN.match(text, place):
            factor = Decimal(10) ** int(ten[1].replace("−", "-"))
            values, place = frozenset(value * factor for value in values), ten.end()
        behind, place = _unit_at(text, place)
        found = Quantity(values, behind)
    return found


def _near(given: Decimal, right: Decimal, of_given: Any, of_right: Any, share: Decimal) -> bool:
    one, two = registry().Quantity(given, of_given), registry().Quantity(right, of_right)
    if abs(one.to(of_right).magnitude - right) <= share * abs(right):
        return True
    in_base = [quantity.to_base_units().magnitude for quantity in (one, two)]
    return bool(abs(in_base[0] - in_base[1]) <= ROUNDING * abs(in_base[1]))


def _unit_at(text: str, place: int) -> tuple[Any, int]:
    """The unit that stands at a place, and where it ends; one that is known in part only is none."""
    match = _UNIT.match(text, place)
    found = _unit(match[1]) if match and len(match[1]) <= LONGEST_UNIT else None
    return (None, place) if match is None or found is None else (found, match.end())


@lru_cache(4096)
def _unit(text: str) -> Any:
    """Build a unit from its factors; None where a word is no unit. Words are looked up, nothing is evaluated."""
    product: Any = None
    parts = re.split(f"({_SIGN})", text, flags=re.IGNORECASE)
    for sign, factor in zip(["*", *parts[1::2]], parts[::2], strict=True):
        one = _factor(factor)
        if one is None:
            return None
        product = one if product is None else product / one if sign.strip().lower() in ("/", "per") else product * one
    return product


def _factor(text: str) -> Any:
    match = re.fullmatch(rf"({_SIZE})({_WORD})(.*)", text, re.IGNORECASE)
    unit = _word(match[2]) if match else None
    if match is None or unit is None:
        return None
    size, behind = match[1].lower().rstrip(". "), match[3].strip().lower()
    power = _SIZES.get(behind) or int(behind.lstrip("^*").replace("−", "-") or 1)
    return unit ** (power * _SIZES.get(size, 1))


def _word(name: str) -> Any:
    for spelling in (name, name.lower()):
        with suppress(ValueError):  # what pint reads as a number, such as nan, is no unit
            if spelling in registry():
                return registry().parse_units(spelling)
    return None


@cache
def registry() -> Any:
    """The units, with decimal arithmetic, so that conversions by powers of ten are exact."""
    try:
        import pint
    except ImportError as error:
        raise PluginError("check 'unit' needs pint; install the extra: pip install \"aya-core[eval]\"") from error
    return pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)


def _compatible(text: str) -> str:
    """Write signs that stand for others (㎞, ℃, full-width letters) as those, and superscripts as powers."""
    text = _SUPERSCRIPTS.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), text)
    text = "".join(
        mark if mark in ".,'’٫٬" or mark.isspace() else unicodedata.normalize("NFKC", mark) for mark in prepared(text)
    )
    return _TWO_WORDS.sub(lambda found: f"{found[1]}_{found[2]}".lower(), _DEGREES.sub("", text))
