"""Checks of what stands in a configuration, with the place in every message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aya_core.api import RecipeError, did_you_mean


def mapping(value: Any, known: Iterable[str], where: str, expected: str) -> Mapping[str, Any]:
    """Give a mapping whose keys are all known; null counts as left out. Raises RecipeError."""
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where}: {value!r}, expected {expected}")
    names = tuple(known)
    for key in value:
        if key not in names:
            raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), names)}")
    return {key: entry for key, entry in value.items() if entry is not None}


def entries(value: Any, where: str, expected: str) -> Sequence[Any]:
    """Give a list with something in it. Raises RecipeError."""
    if not isinstance(value, (list, tuple)) or not value:
        raise RecipeError(f"{where}: expected a list of at least one {expected}")
    return value


def whole(value: Any, where: str, expected: str = "a whole number") -> int:
    """Give a whole number, 0 or more; text that spells one counts, as in mergekit. Raises RecipeError."""
    text = value.strip() if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not text.isdecimal():
        raise RecipeError(f"{where}: {value!r}, expected {expected}")
    return int(text)
