"""What an optimiser must do, by which a search looks for the settings of a merge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Optimiser(Protocol):
    """Looks for the point of smallest loss, a generation at a time, knowing nothing of what is optimised.

    It begins around the origin, with a spread of about 1 in each direction: who uses it scales. What it asks depends on its
    seed and on what it was told, and on nothing else, so that a run that was killed can be played again.
    """

    def ask(self) -> Sequence[Sequence[float]]:
        """Give the points of the next generation, at least one."""

    def tell(self, points: Sequence[Sequence[float]], losses: Sequence[float]) -> None:
        """Take the losses of the points that were asked, all finite; smaller is better."""

    def signature(self) -> str:
        """Name the method and its version."""


MakeOptimiser = Callable[[int, int | None, int], Optimiser]
"""Makes an optimiser of (dimensions, population, seed). population: points in a generation, None for the method's own."""
