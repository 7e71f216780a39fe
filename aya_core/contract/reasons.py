"""Counting reasons in bounded memory: those that differ in numbers alone are one."""

from __future__ import annotations

import re
from collections.abc import Mapping

MOST_PATTERNS = 512
"""Different reasons held at a time. When there are more, the rarer half is let go and counted as `OTHER`."""

OTHER = "other reasons"
"""Under which rare reasons are counted once there are too many."""

ANY = "N"
"""Stands for a number in which reasons differ."""

_NUMBER = re.compile(rf"\d+(?:[.,]\d+)*|\b{ANY}\b")

_GAP = "\0"
"""Where a number stood."""


class Reasons:
    """Counts reasons. "88% of it is repetition" and "90% of it is repetition" are one, "N% of it is repetition".

    keep_equal: a number that is the same in all of them stays, as in "longer than the context of 2048 tokens".

    Counts are exact while there are no more than `MOST_PATTERNS` kinds of reason. Beyond, one that was let go and came again counts from
    then on, and the rest of it is among `OTHER`: the sum stays right.
    """

    def __init__(self, counts: Mapping[str, int] | None = None, *, keep_equal: bool = False) -> None:
        self._keep_equal = keep_equal
        self._counts: dict[str, int] = {}
        self._numbers: dict[str, list[str]] = {}
        self._other = 0
        self.update(counts or {})

    def __bool__(self) -> bool:
        return bool(self._counts or self._other)

    def update(self, counts: Mapping[str, int]) -> None:
        """Add what another has counted."""
        for reason, count in counts.items():
            self.add(reason, count)

    def add(self, reason: str, count: int = 1) -> None:
        """Count a reason."""
        reason = reason.replace(_GAP, " ")
        if reason in self._counts:  # one without numbers, as most are
            self._counts[reason] += count
            return
        if reason == OTHER:
            self._other += count
            return
        numbers = _NUMBER.findall(reason)
        pattern = _NUMBER.sub(_GAP, reason) if numbers else reason
        known = self._numbers.get(pattern)
        if known is None:
            self._make_room()
            self._counts[pattern] = count
            self._numbers[pattern] = numbers if self._keep_equal else [ANY] * len(numbers)
            return
        self._counts[pattern] += count
        if self._keep_equal and known != numbers:
            self._numbers[pattern] = [one if one == other else ANY for one, other in zip(known, numbers, strict=True)]

    def counts(self, most: int = MOST_PATTERNS) -> dict[str, int]:
        """The commonest reasons with their counts, the commonest first; all others together come last."""
        ranked = self._ranked()
        found: dict[str, int] = {}
        for pattern in ranked[:most]:
            words = self._words(pattern)  # "0N0" and "0NN" are both "NNN"
            found[words] = found.get(words, 0) + self._counts[pattern]
        other = self._other + sum(self._counts[pattern] for pattern in ranked[most:])
        return {**found, OTHER: other} if other else found

    def known_as(self, reason: str) -> str:
        """The words under which a reason is counted here."""
        pattern = _NUMBER.sub(_GAP, reason)
        return self._words(pattern) if pattern in self._counts else OTHER

    def _ranked(self) -> list[str]:
        return sorted(self._counts, key=lambda pattern: (-self._counts[pattern], pattern))

    def _words(self, pattern: str) -> str:
        pieces = pattern.split(_GAP) if self._numbers[pattern] else [pattern]
        return "".join(piece + number for piece, number in zip(pieces, [*self._numbers[pattern], ""], strict=True))

    def _make_room(self) -> None:
        if len(self._counts) < MOST_PATTERNS:
            return
        for pattern in self._ranked()[MOST_PATTERNS // 2 :]:
            self._other += self._counts.pop(pattern)
            del self._numbers[pattern]
