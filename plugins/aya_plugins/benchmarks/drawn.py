"""A part of a benchmark for a quick look: so many rows of each language, drawn by a hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappush, heappushpop
from typing import TypeVar

from aya_core.api import Demonstration, Preference, stable_hash
from aya_plugins.benchmarks.tables import Row

AnyRow = TypeVar("AnyRow", Row, Demonstration, Preference)

LIMIT = "For a quick look: so many rows of each language, drawn by a hash; of parallel sets the same ones in every language."
"""The description of the setting."""


def drawn(rows: Iterable[AnyRow], limit: int | None) -> Iterator[AnyRow]:
    """Yield at most so many rows of each language, in their order; all where there is no limit.

    A row is drawn by a hash of its place in its language. So the same rows are drawn each time, of parallel sets the same ones in every
    language, and a smaller limit draws some of the rows of a larger one.
    """
    if limit is None:
        yield from rows
        return
    count: dict[str, int] = {}
    kept: dict[str, list[tuple[int, int, AnyRow]]] = {}  # by language a heap, the row with the greatest hash on top
    for row in rows:
        language = row.language if isinstance(row, Row) else row.prompt.language
        place = count[language] = count.get(language, 0) + 1
        heap = kept.setdefault(language, [])
        (heappush if len(heap) < limit else heappushpop)(heap, (-hash_of(place), place, row))
    for heap in kept.values():
        yield from (row for _, _, row in sorted(heap, key=lambda one: one[1]))


def hash_of(place: int | str) -> int:
    """By which a row is drawn."""
    return int(stable_hash(["drawn", str(place)])[:15], 16)


def limit_signature(limit: int | None) -> Mapping[str, str]:
    """Say what a limit does, for signatures; nothing where there is none."""
    return {} if limit is None else {"limit": f"{limit} rows of each language, drawn by hash"}
