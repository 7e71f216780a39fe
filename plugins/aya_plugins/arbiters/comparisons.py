"""Who is compared with whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aya_core.api import Completion, stable_hash


def meetings(candidates: Sequence[Completion], opponents: int | None) -> Iterator[tuple[int, int]]:
    """Yield the places of every two candidates that meet, the earlier place first.

    opponents: how many others each meets at the most; None for all. Then only so many rounds of a round-robin
    tournament are played: in each, all meet someone (but for one, another one each time, where their number is odd). Who sits
    where at its table is drawn by a hash of each candidate, so that it does not depend on the order they come in.
    """
    count = len(candidates)
    if opponents is None or opponents >= count - 1:
        yield from ((one, two) for two in range(count) for one in range(two))
        return
    seats = sorted(range(count), key=lambda place: _lot(candidates[place]))
    circle = count - 1 + count % 2  # an odd number gets an empty seat in the middle
    for round in range(opponents):
        pairs = [(round, circle)] + [((round + k) % circle, (round - k) % circle) for k in range(1, circle // 2 + 1)]
        for one, two in pairs:
            if two < count and one < count:
                yield tuple(sorted((seats[one], seats[two])))  # type: ignore[misc]  # it is a pair


def _lot(candidate: Completion) -> str:
    return stable_hash([candidate.prompt_id, candidate.teacher, candidate.index, candidate.text])
