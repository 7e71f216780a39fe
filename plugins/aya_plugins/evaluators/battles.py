"""One battle between two answers: what a judge is shown, and what its verdicts make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aya_core.api import Case, Completion, Prompt, Verdict


@dataclass(frozen=True)
class Battle:
    """Two answers to a prompt; None for one that was not given."""

    prompt: Prompt
    own: Completion | None
    rival: Completion | None

    @property
    def is_met(self) -> bool:
        """Whether both sides answered."""
        return self.own is not None and self.rival is not None

    def cases(self, both: bool) -> Iterator[Case]:
        """What is judged: the model's answer first, and where both orders are wanted, the rival's first, too."""
        if self.own is not None and self.rival is not None:
            yield Case(self.prompt, (self.own, self.rival))
            if both:
                yield Case(self.prompt, (self.rival, self.own))


@dataclass(frozen=True)
class Outcome:
    """What came of a battle. points: of the model, 1 for a win, 0.5 for a tie; None where it was not judged.

    first_wins, second_wins: verdicts for the answer shown first, or second, where the judge named a winner in known places.
    """

    points: float | None = None
    has_failed: bool = False
    disagrees: bool = False
    first_wins: float = 0.0
    second_wins: float = 0.0


def decided(battle: Battle) -> Outcome | None:
    """Decide without a judge where nothing is left to judge: answers that are equal, or of which one is empty."""
    if battle.own is None or battle.rival is None:
        return None
    own, rival = battle.own.text.split(), battle.rival.text.split()
    if own == rival:
        return Outcome(0.5)
    return None if own and rival else Outcome(1.0 if own else 0.0)


def one_order(verdicts: Sequence[Verdict]) -> Outcome:
    """Read the verdicts on the model's answer and the rival's, of an arbiter that knows no order or compares in both itself."""
    ours, theirs = verdicts
    counts = {
        name: sum(_counted(one, name) for one in verdicts) / 2 for name in _COUNTS
    }  # both answers' details tell of one comparison
    first, second, disagreements = counts.values()
    return Outcome(_points(ours, theirs), _has_failed(verdicts), disagreements > 0, first, second)


def both_orders(ahead: Sequence[Verdict], behind: Sequence[Verdict]) -> Outcome:
    """Bring the verdicts in both orders together. ahead: with the model's answer first; behind: with the rival's first."""
    first, second = _points(*ahead), _points(*behind)  # each of the answer shown first
    failed = _has_failed(ahead) or _has_failed(behind)
    if first is None or second is None:
        return Outcome(has_failed=failed)
    shown = (first, second)
    agree = first == 1 - second
    return Outcome(first if agree else 0.5, False, not agree, shown.count(1.0), shown.count(0.0))


_COUNTS = ("first_position_wins", "second_position_wins", "order_disagreements")
"""Details of a verdict by an arbiter that compares in both orders itself (see `arbiters/judge_pairwise.py`)."""


def _counted(verdict: Verdict, name: str) -> float:
    """What a verdict's details count, of the arbiter itself or of the members of an ensemble."""
    return sum(value for key, value in verdict.details.items() if key.rpartition("/")[2] == name)


def _points(first: Verdict, second: Verdict) -> float | None:
    if first.score is None or second.score is None:
        return None
    return 0.5 if first.score == second.score else float(first.score > second.score)


def _has_failed(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.status == "failed" for verdict in verdicts)
