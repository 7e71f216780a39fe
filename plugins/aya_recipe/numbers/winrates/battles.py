"""Battles: two models' answers to one prompt, and who won. What a file of verdicts or preferences holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aya_core.api import UNKNOWN_LANGUAGE, DataError, did_you_mean, find_language, plain_language
from aya_recipe.numbers import statistics
from aya_recipe.numbers.statistics import Observation
from aya_recipe.numbers.winrates.style import Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN = ("", "unknown", "undetermined", UNKNOWN_LANGUAGE)
"""How files write that they do not know the language."""


class Battle(NamedTuple):
    """One verdict.

    place: file and line. prompt: what was asked, by its id; battles over one prompt are drawn together. one, other: the models.
    points: of `one`, from 0 for a loss over 0.5 for a tie to 1 for a win; a weighted preference lies anywhere between. weight: how
    many games it counts for. styles: of both answers, where they are known. item: by which the file names what was asked, so that the
    same question in several languages has one name.
    """

    place: str
    prompt: str
    language: str
    one: str
    other: str
    points: float
    weight: float = 1.0
    styles: tuple[Style, Style] | None = None
    item: str | None = None


@dataclass(frozen=True)
class Battles:
    """All battles of a file.

    baseline: whom every other model is compared with, where the file says so. are_verdicts: whether they are games won, lost or tied
    rather than preferences with a weight between. left_out: rows that hold no verdict, by model. pool: items that are drawn, each with
    its battles in all languages; empty where no item is in two languages, so that prompts are drawn in each.
    """

    source: str
    rows: Sequence[Battle]
    baseline: str | None = None
    are_verdicts: bool = True
    left_out: dict[str, int] = field(default_factory=dict)
    pool: Sequence[str] = ()

    @property
    def models(self) -> list[str]:
        """All models, in the order in which they are met."""
        return list(dict.fromkeys(name for row in self.rows for name in (row.one, row.other)))

    def against(self, baseline: str | None) -> Battles:
        """Set the baseline: the one given, the file's, or the only model that fights in every battle. Raises DataError."""
        if not self.rows:
            raise DataError(f"{self.source}: no verdict in it; expected at least one row that holds one")
        if baseline is not None and baseline not in self.models:
            raise DataError(
                f"{self.source}: no model '{baseline}' for --baseline; {did_you_mean(baseline, self.models)}"
            )
        chosen = baseline or self.baseline or _center(self.rows)
        return replace(self, baseline=chosen, pool=_shared(self.rows))

    def observation(self, row: Battle) -> Observation:
        """What is drawn with a battle."""
        return statistics.observation(row.language, row.prompt, row.item if self.pool else None)

    def in_codes(self, codes: Mapping[str, str]) -> Battles:
        """Name languages by their codes, however the file writes them. codes: what is no code and no English name. Raises DataError."""
        rows = [row._replace(language=_code(row, codes)) for row in self.rows]
        return replace(self, rows=rows)

    def by_language(self) -> dict[str, Battles]:
        """Part the battles by language."""
        parts: dict[str, list[Battle]] = {}
        for row in self.rows:
            parts.setdefault(row.language, []).append(row)
        return {
            language: replace(self, source=f"{self.source}, {language}", rows=rows, left_out={})
            for language, rows in sorted(parts.items())
        }


def _shared(rows: Iterable[Battle]) -> Sequence[str]:
    """All items, where one of them is in two languages; else none."""
    languages: dict[str, set[str]] = {}
    for row in rows:
        if row.item is not None:
            languages.setdefault(row.item, set()).add(row.language)
    return sorted(languages) if any(len(found) > 1 for found in languages.values()) else ()


def _code(row: Battle, codes: Mapping[str, str]) -> str:
    if row.language.strip().lower() in UNKNOWN:
        return UNKNOWN_LANGUAGE
    code = codes.get(row.language) or find_language(row.language)
    if code is None:
        raise DataError(
            f"{row.place}: the language is {row.language!r:.60}, no code of ISO 639 and no English name; say which it is, such as "
            f"--languages '{{{row.language}: de}}'"
        )
    return plain_language(code)


def _center(rows: Iterable[Battle]) -> str | None:
    """The one model that is in every battle; of two, the one that is always named first."""
    in_all: set[str] | None = None
    first: set[str] = set()
    second: set[str] = set()
    for row in rows:
        in_all = {row.one, row.other} if in_all is None else in_all & {row.one, row.other}
        first.add(row.one)
        second.add(row.other)
    found = sorted(in_all or ())
    if len(found) == 2:
        found = [name for name in found if first == {name} and name not in second]
    return found[0] if len(found) == 1 else None


class Arrays:
    """Battles as columns of numbers, each of shape (battles,).

    one, other: places in `models`. prompt: place among all that is drawn, items first, then the prompts of each language one after the
    other. strata: (language, or nothing for items; first place, behind the last) of each.
    """

    def __init__(self, battles: Battles) -> None:
        import numpy as np

        rows, self.models = battles.rows, battles.models
        names = {name: place for place, name in enumerate(self.models)}
        drawn = [battles.observation(row) for row in rows]
        keys = sorted({*drawn, *((statistics.ITEMS, item) for item in battles.pool)})
        places = {key: place for place, key in enumerate(keys)}
        self.one: NDArray[Any] = np.array([names[row.one] for row in rows])
        self.other: NDArray[Any] = np.array([names[row.other] for row in rows])
        self.points: NDArray[Any] = np.array([row.points for row in rows])
        self.weight: NDArray[Any] = np.array([row.weight for row in rows])
        self.prompt: NDArray[Any] = np.array([places[one] for one in drawn])
        self.prompts = len(keys)
        languages = [language for language, _ in keys]
        starts = [place for place in range(len(keys)) if place == 0 or languages[place] != languages[place - 1]]
        self.strata = [
            (languages[start], start, end) for start, end in zip(starts, [*starts[1:], len(keys)], strict=True)
        ]
