"""What the ensemble runs: gates first, then scores of the candidates that passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from aya_core.api import Arbiter, CalibratedArbiter, Case, Verdict, checked_verdicts
from aya_plugins.arbiters.combining import Combine


@dataclass
class Ruling:
    """What the members have said of one candidate so far.

    scores: by scorer. details: of all members. stopped: the first verdict without a score. excused: the first one that
    counts only if no scorer gives a score.
    """

    scores: dict[str, float] = field(default_factory=dict)
    details: dict[str, float] = field(default_factory=dict)
    stopped: Verdict | None = None
    excused: Verdict | None = None

    @property
    def ended(self) -> Verdict | None:
        """The verdict that ends it, if one has."""
        return self.stopped or (None if self.scores else self.excused)

    def note(self, name: str, verdict: Verdict) -> None:
        """Keep a member's score and its details."""
        if verdict.score is not None:
            self.details[name] = verdict.score
        self.details.update({f"{name}/{key}": value for key, value in verdict.details.items()})

    def verdict(self, scores: Iterator[float]) -> Verdict:
        """End with what stopped it, or with the next score."""
        if self.ended is not None:
            return Verdict(None, self.ended.status, self.ended.reason, self.details)
        return Verdict(next(scores), details=self.details)


Docket = list[tuple[Case, list[Ruling]]]
"""Cases with the rulings on their candidates."""


@dataclass(frozen=True)
class EnsembleArbiter:
    """See `Ensemble`.

    excused: scorers whose abstention on a lone candidate is left out of what `combine` gets.
    """

    gates: Mapping[str, Arbiter]
    scorers: Mapping[str, Arbiter]
    combine: Combine
    excused: AbstractSet[str]

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Hand to each member, in one call so that its batches are full, all candidates that have come so far."""
        docket = _docket(cases)
        passed = docket
        for name, gate in self.gates.items():
            passed = _passed(name, gate, passed)
        for name, scorer in self.scorers.items():
            self._score(name, scorer, passed)
        for _, rulings in docket:
            placed = [ruling.scores for ruling in rulings if ruling.ended is None]
            scores = iter(self.combine(placed) if placed else ())
            yield [ruling.verdict(scores) for ruling in rulings]

    def _score(self, name: str, scorer: Arbiter, docket: Docket) -> None:
        for rulings, verdicts in _said(name, scorer, docket):
            is_excused = len(rulings) == 1 and name in self.excused
            for ruling, verdict in zip(rulings, verdicts, strict=True):
                ruling.note(name, verdict)
                if verdict.score is not None:
                    ruling.scores[name] = verdict.score
                elif is_excused and verdict.status == "abstained":
                    ruling.excused = ruling.excused or _named(name, verdict)
                else:
                    ruling.stopped = ruling.stopped or _named(name, verdict)


class CalibratedEnsemble(EnsembleArbiter):
    """An ensemble of which some members take their scale from a sample."""

    def calibrate(self, cases: Sequence[Case]) -> None:
        """Calibrate each member with the part of the sample that it would judge."""
        docket = _docket(cases)
        for name, gate in self.gates.items():
            _calibrate(gate, docket)
            docket = _passed(name, gate, docket)
        for scorer in self.scorers.values():
            _calibrate(scorer, docket)


def _docket(cases: Sequence[Case]) -> Docket:
    return [(case, [Ruling() for _ in case.candidates]) for case in cases]


def _passed(name: str, gate: Arbiter, docket: Docket) -> Docket:
    """What is left when a gate has judged: the candidates that it scored, and the cases that still have any."""
    for rulings, verdicts in _said(name, gate, docket):
        for ruling, verdict in zip(rulings, verdicts, strict=True):
            ruling.note(name, verdict)
            ruling.stopped = None if verdict.score is not None else _named(name, verdict)
    passed: Docket = []
    for case, rulings in docket:
        kept = [pair for pair in zip(case.candidates, rulings, strict=True) if pair[1].ended is None]
        if kept:
            passed.append((Case(case.prompt, tuple(one for one, _ in kept)), [ruling for _, ruling in kept]))
    return passed


def _said(name: str, arbiter: Arbiter, docket: Docket) -> Iterator[tuple[list[Ruling], list[Verdict]]]:
    judged = list(checked_verdicts(arbiter, [case for case, _ in docket], f"arbiter '{name}'"))
    return ((rulings, verdicts) for (_, rulings), verdicts in zip(docket, judged, strict=True))


def _named(name: str, verdict: Verdict) -> Verdict:
    return Verdict(None, verdict.status, f"{name}: {verdict.reason}")


def _calibrate(arbiter: Arbiter, docket: Docket) -> None:
    if isinstance(arbiter, CalibratedArbiter):
        arbiter.calibrate([case for case, _ in docket])
