"""Caps on picked rows, so that no teacher and no language dominates: which rows stay is drawn by hash, in fixed memory."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.artifacts import stable_hash
from aya_core.drawing import Draw


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
    """How many rows each teacher of a language keeps.

    With a share s, the largest count c at which all who have more are cut so that c is at most s of what is left. With a
    most, all are then scaled down alike.
    """
    kept = {teacher: float(n) for teacher, n in wins.items()}
    if share is not None:
        cap = _cap(sorted(wins.values(), reverse=True), max(share, 1 / len(wins)))
        kept = {teacher: min(n, cap) for teacher, n in kept.items()}
    total = sum(kept.values())
    if most is None or total <= most:
        return {teacher: int(n + 1e-9) for teacher, n in kept.items()}
    scaled = {teacher: n * most / total for teacher, n in kept.items()}
    whole = {teacher: int(n + 1e-9) for teacher, n in scaled.items()}
    left = min(most, int(total + 1e-9)) - sum(whole.values())
    for teacher in sorted(scaled, key=lambda teacher: (whole[teacher] - scaled[teacher], stable_hash(teacher)))[:left]:
        whole[teacher] += 1  # to the largest remainders
    return whole


def _cap(counts: list[int], share: float) -> float:
    """The largest cap that no count passes share times the sum of all capped counts. counts: largest first."""
    if counts[0] <= share * sum(counts):
        return counts[0]
    for cut in range(1, len(counts) + 1):
        rest, left = sum(counts[cut:]), 1 - share * cut
        cap = share * rest / left if left > 1e-12 else float(counts[cut - 1])
        if cap >= (counts[cut] if cut < len(counts) else 0):
            return cap
    return float(counts[-1])
