"""The loop of a search: ask an optimizer, have its candidates scored, tell it, and keep a journal.

Killed anywhere, the same search asks for the same candidates again (an optimizer depends on its seed and on what it is
told) and finds those that were scored in the journal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from aya_core.api import DataError, Journal, Optimizer
from aya_recipe.search.space import Space

Goal = Literal["max", "min"]


class Candidate(NamedTuple):
    """A merge to be tried. number: 0 is the uniform one. generation: of the optimizer, from 1; 0 for the uniform one."""

    number: int
    generation: int
    weights: Mapping[str, float]
    settings: Mapping[str, float]


@dataclass(frozen=True)
class Tried:
    """A candidate and its score. failed: why it has none. standard_error: None where it is not known."""

    candidate: Candidate
    score: float | None
    standard_error: float | None = None
    n: int = 0
    failed: str | None = None

    def loss(self, goal: Goal) -> float:
        """What is to be made small; infinite for one that failed."""
        if self.score is None or not math.isfinite(self.score):
            return math.inf
        return -self.score if goal == "max" else self.score


class Trials(Protocol):
    """Makes and scores candidates."""

    def prepare(self, batch: Sequence[Candidate], best: Candidate | None) -> None:
        """Make these, all at once. best: the one to be kept of those made before."""

    def score(self, candidate: Candidate) -> Tried:
        """Score one of those prepared."""

    def stands(self, tried: Tried) -> bool:
        """Say whether what an earlier run kept of one that it scored is whole."""

    def discard(self, candidate: Candidate) -> None:
        """Let go of one that is not the best."""


class TrialJournal:
    """What was scored, by the number of the candidate."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._known = {
            number: Tried(**{**scored, "candidate": Candidate(*scored["candidate"])})
            for number, scored in self._journal.read().items()
        }

    def find(self, candidate: Candidate) -> Tried | None:
        """What was written of this very candidate."""
        tried = self._known.get(candidate.number)
        return tried if tried is not None and tried.candidate == candidate else None

    def write(self, tried: Tried) -> None:
        """Add one. It survives a kill of the process as soon as this returns."""
        self._known[tried.candidate.number] = tried
        self._journal.write([(tried.candidate.number, asdict(tried))])

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()


def search(
    optimizer: Optimizer, space: Space, trials: Trials, journal: TrialJournal, *, budget: int, goal: Goal
) -> list[Tried]:
    """Try `budget` candidates, the uniform one first, and return all of them in order.

    The last generation is cut to what is left. A candidate that failed counts as worse than the worst. Raises DataError
    where the uniform one fails: there is nothing to compare with then.
    """
    tried: list[Tried] = []
    generation = 0
    while len(tried) < budget:
        generation += 1
        points = optimizer.ask()
        batch = [_candidate(space, len(tried), 0, [0.0] * space.dimensions)] if not tried else []
        first = len(tried) + len(batch)
        batch += [_candidate(space, first + place, generation, point) for place, point in enumerate(points)]
        batch = batch[: budget - len(tried)]
        _try(batch, tried, trials, journal, goal)
        scored = tried[first:]
        if len(scored) == len(points):
            optimizer.tell(points, _losses(scored, tried, goal))
    return tried


def best_of(tried: Sequence[Tried], goal: Goal) -> Tried:
    """The best candidate; of equals the earliest, so that the uniform one goes before all."""
    return min(tried, key=lambda one: (one.loss(goal), one.candidate.number))


def _try(batch: Sequence[Candidate], tried: list[Tried], trials: Trials, journal: TrialJournal, goal: Goal) -> None:
    found = {
        candidate.number: one
        for candidate in batch
        if (one := journal.find(candidate)) is not None and trials.stands(one)
    }
    known = [*tried, *found.values()]
    best = best_of(known, goal) if known else None
    if fresh := [candidate for candidate in batch if candidate.number not in found]:
        trials.prepare(fresh, best.candidate if best else None)
    for candidate in batch:
        one = found.get(candidate.number)
        if one is None:
            one = trials.score(candidate)
            if candidate.number == 0 and math.isinf(one.loss(goal)):  # not written down: the next run looks again
                raise DataError(
                    f"the merge with uniform weights, which the search starts from, has no score: {one.failed}"
                )
            journal.write(one)
            if best is None or one is best_of([best, one], goal):
                loser, best = best, one
            else:
                loser = one
            if loser is not None:
                trials.discard(loser.candidate)
        tried.append(one)


def _candidate(space: Space, number: int, generation: int, point: Sequence[float]) -> Candidate:
    return Candidate(number, generation, *space.at(point))


def _losses(scored: Sequence[Tried], tried: Sequence[Tried], goal: Goal) -> list[float]:
    """Losses for the optimizer, which ranks them: finite, and one above the worst so far for those that failed."""
    worst = max(loss for one in tried if math.isfinite(loss := one.loss(goal)))
    return [loss if math.isfinite(loss := one.loss(goal)) else worst + 1.0 for one in scored]
