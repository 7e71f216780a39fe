"""Drawing rows by hash, in fixed memory: so many of a stream, or so many that no teacher and no language dominates."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappush, heappushpop
from typing import TypeVar

from aya_core.api import Prompt, stable_hash

Row = TypeVar("Row")

BITS = 12


class Draw:
    """Keeps at most so many of a stream's rows, those with the smallest hashes. Show it every row, then ask of each again.

    The hashes' first 12 bits are counted; in the one bucket of 4,096 that the limit cuts, the first rows of the stream are
    kept. So all but a few rows are the same ones whatever the order.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.most = most
        self.seed = seed
        self._counts = array("Q", bytes(8 << BITS))
        self._whole: int | None = None
        self._rest = 0

    def show(self, id: str) -> None:
        """Count a row of the first pass."""
        self._counts[self._bucket(id)] += 1

    def keeps(self, id: str) -> bool:
        """Decide on a row of the second pass, which must bring the same rows in the same order."""
        if self._whole is None:
            self._settle()
        bucket = self._bucket(id)
        if bucket == self._whole and self._rest:
            self._rest -= 1
            return True
        return bucket < (self._whole or 0)

    def _settle(self) -> None:
        left = self.most
        self._whole = len(self._counts)
        for bucket, count in enumerate(self._counts):
            if count > left:
                self._whole, self._rest = bucket, left
                return
            left -= count

    def _bucket(self, id: str) -> int:
        return int(stable_hash([self.seed, id])[:8], 16) >> (32 - BITS)


def drawn_by_language(
    rows: Iterable[Row], prompt: Callable[[Row], Prompt], most: int, seed: int
) -> Mapping[str, Sequence[Row]]:
    """Draw so many rows of each language, the smallest hash first: the same ones whatever their order, and fewer of the same
    for a smaller number. prompt: of a row."""
    drawn: dict[str, list[tuple[int, str, Row]]] = {}
    for row in rows:
        about = prompt(row)
        mark = -int(stable_hash([seed, about.id])[:15], 16)
        heap = drawn.setdefault(about.language, [])
        push = heappush if len(heap) < most else heappushpop  # which lets the largest hash go
        push(heap, (mark, about.id, row))
    return {language: [row for *_, row in sorted(heap, reverse=True)] for language, heap in sorted(drawn.items())}


EPSILON = 1e-9
"""What rounding may take from a whole number."""


class Caps:
    """Shown every row once, it says on a second pass over the same rows which of them stay.

    most_per_language: rows of a language. teacher_share: of a language's rows, at the most, by one teacher; where k
    teachers won at all, 1 / k if that is more.
    """

    def __init__(self, most_per_language: int | None, teacher_share: float | None, seed: int) -> None:
        self._most = most_per_language
        self._share = teacher_share
        self._seed = seed
        self._shown: dict[tuple[str, str], tuple[Draw, int]] = {}
        self._is_settled = False

    def show(self, language: str, teacher: str, id: str) -> None:
        """Count a row of the first pass."""
        draw, count = self._shown.get((language, teacher)) or (Draw(0, self._seed), 0)
        draw.show(id)
        self._shown[language, teacher] = (draw, count + 1)

    def keeps(self, language: str, teacher: str, id: str) -> bool:
        """Decide on a row of the second pass."""
        if not self._is_settled:
            self._settle()
        return self._shown[language, teacher][0].keeps(id)

    def _settle(self) -> None:
        self._is_settled = True
        for language in {language for language, _ in self._shown}:
            wins = {teacher: n for (code, teacher), (_, n) in self._shown.items() if code == language}
            for teacher, most in quotas(wins, self._most, self._share).items():
                self._shown[language, teacher][0].most = most


def quotas(wins: Mapping[str, int], most: int | None, share: float | None) -> dict[str, int]:
    """How many rows each teacher of a language keeps: as many as can be, in proportion to its wins below the cap.

    Of all that is kept, no teacher has more than the share (1 / k of k teachers, if that is more; one row, if that is
    less), and all together have no more than `most`.
    """
    allowed = 1.0 if share is None else max(share, 1 / len(wins))
    cap = _cap(sorted(wins.values(), reverse=True), allowed)
    wanted = {teacher: min(float(n), cap) for teacher, n in wins.items()}
    total = int(sum(wanted.values()) + EPSILON)
    total = total if most is None else min(total, most)
    while True:  # whole rows may have to be a few fewer
        room = {teacher: min(n, max(1, int(allowed * total + EPSILON))) for teacher, n in wins.items()}
        if sum(room.values()) >= total:
            return _apportion(wanted, room, total)
        total -= 1


def _apportion(wanted: Mapping[str, float], room: Mapping[str, int], total: int) -> dict[str, int]:
    """Share whole rows out by what is wanted, the rest to the largest remainders that have room."""
    scale = total / max(sum(wanted.values()), 1.0)
    exact = {teacher: n * scale for teacher, n in wanted.items()}
    whole = {teacher: min(int(n + EPSILON), room[teacher]) for teacher, n in exact.items()}
    while (left := total - sum(whole.values())) > 0:
        waiting = [teacher for teacher in whole if whole[teacher] < room[teacher]]
        for teacher in sorted(waiting, key=lambda name: (whole[name] - exact[name], stable_hash(name)))[:left]:
            whole[teacher] += 1
    return whole


def _cap(counts: list[int], share: float) -> float:
    """The largest cap that no count passes share times the sum of all capped counts. counts: largest first."""
    if counts[0] <= share * sum(counts):
        return counts[0]
    for cut in range(1, len(counts) + 1):
        rest, left = sum(counts[cut:]), 1 - share * cut
        cap = share * rest / left if left > EPSILON else float(counts[cut - 1])
        if cap >= (counts[cut] if cut < len(counts) else 0):
            return cap
    return float(counts[-1])
