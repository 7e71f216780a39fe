"""Checks of what stands in a configuration, with the place in every message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from aya_core.api import RecipeError, did_you_mean

_MOST_DIGITS = 18


class Ignored:
    """What a configuration says and no merge listens to, in mergekit neither, collected while it is read."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._places: dict[str, list[str]] = {}

    def note(self, place: str, why: str) -> None:
        """Take note of one thing, and of where it stands."""
        self._places.setdefault(why, []).append(place)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason."""
        return tuple(
            f"{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: ignored, as in mergekit: {why}"
            for why, places in self._places.items()
        )


def mapping(value: Any, known: Iterable[str], where: str, expected: str) -> Mapping[str, Any]:
    """Give a mapping whose keys are all known; null counts as left out. Raises RecipeError."""
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where}: {value!r}, expected {expected}")
    names = tuple(known)
    for key in value:
        if key not in names:
            raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), names)}")
    return {key: entry for key, entry in value.items() if entry is not None}


def some_mapping(
    value: Any, known: Iterable[str], where: str, expected: str, ignored: Ignored, *, elsewhere: Collection[str] = ()
) -> Mapping[str, Any]:
    """Give a mapping without the keys that mergekit passes over; null counts as left out.

    A key that looks like a known one is a mistake. elsewhere: names that have their place, but not here. Raises RecipeError.
    """
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where}: {value!r}, expected {expected}")
    names = tuple(known)
    for key in value:
        if key not in names:
            word = str(key)
            if key in elsewhere or (is_near(word, (*names, *elsewhere)) and not is_for_anchors(word, value)):
                raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(word, (*names, *elsewhere))}")
            ignored.note(f"{where}: {word}", "a key that it does not know")
    return {key: entry for key, entry in value.items() if key in names and entry is not None}


def is_near(word: str, names: Iterable[str]) -> bool:
    """Whether a word may be one of some names, misspelled."""
    return bool(get_close_matches(word, list(names), n=1, cutoff=0.6))


def is_for_anchors(key: str, value: Mapping[str, Any]) -> bool:
    """Whether a key is there to hold a YAML anchor: it says so by how it begins, or its value stands elsewhere, too."""
    if key.startswith(("x-", "x_", ".", "_")):
        return True
    own: set[int] = set()
    others: set[int] = set()
    _collect(value[key], own)
    for other, entry in value.items():
        if other != key:
            _collect(entry, others)
    return bool(own & others)


def _collect(value: Any, seen: set[int]) -> None:
    """Collect the identities of all mappings and lists in a value: an alias is the same object as its anchor."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, (Mapping, list)) and id(found) not in seen:
            seen.add(id(found))
            waiting += found.values() if isinstance(found, Mapping) else found


def entries(value: Any, where: str, expected: str) -> Sequence[Any]:
    """Give a list with something in it. Raises RecipeError."""
    if not isinstance(value, (list, tuple)) or not value:
        raise RecipeError(f"{where}: expected a list of at least one {expected}")
    return value


def whole(value: Any, where: str, expected: str = "a whole number") -> int:
    """Give a whole number, 0 or more; text that spells one counts, as in mergekit. Raises RecipeError."""
    text = value.strip() if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise RecipeError(f"{where}: {value!r}, expected {expected}")
    return int(text)
