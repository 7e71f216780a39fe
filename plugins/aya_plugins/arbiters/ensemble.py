"""Several arbiters as one: some say who may compete, the others who wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from pydantic import field_validator, model_validator

from aya_core.api import (
    Arbiter,
    ArbiterStrategy,
    CalibratedArbiter,
    Case,
    Field,
    KeepingArbiter,
    ReplyStore,
    Strategy,
    Verdict,
    checked_verdicts,
    did_you_mean,
    nested,
)
from aya_plugins.arbiters.normalize import ZNormalized

Scores = Mapping[str, float]
"""Of one candidate, by arbiter."""

Combine = Callable[[Sequence[Scores]], Sequence[float]]
"""From the candidates of one prompt to one score each."""

SAME = 1e-5
"""Scores that differ by no more than this, or this share of the larger one, are equal: one answer's score moves so much
with the batch that a model reads it in."""


class Ensemble(ArbiterStrategy):
    """Gate answers by some arbiters, and combine the scores of others.

    A candidate on which a gate abstains or fails goes no further: the scorers neither spend work on it nor compare the
    others with it. A candidate on which any scorer abstains or fails gets that as its verdict, never a part of a sum. In
    both cases the reason begins with the member's name.

    `weighted` sums weight x score. `lexicographic` compares by the first scorer, ties by the second, and so on; the
    score is the share of the other candidates that are beaten, a tie counting half, and 0.5 for a lone candidate. Scores
    count as tied up to 1e-5, or that share of the larger one.

    A scorer that compares answers, such as `consensus`, abstains where a single one is left. That abstention is left
    out, as long as another scorer scores: in an order it changes nothing, and under `normalize: language` it counts as
    0, the mean. Under `weighted` without normalization there is no such middle, and the abstention stands.

    Where the gates leave a single answer, as where only one teacher answered in the right language, `alone: wins` lets it win without
    a comparison: scorers that compare are not asked about it, and it gets the scores of the others, or without any 0 (0.5 in an order).
    The detail `won_alone` is 1 for it and 0 for every other answer, so the account has its rate.

    Every member's score, and its own details, are details of the verdict: `reward`, `reward/raw`.
    """

    gates: dict[str, nested("arbiter")] = Field(  # type: ignore[valid-type]
        default={}, description="Arbiters that answers must pass, by name: they pass whatever score they get."
    )
    scores: dict[str, nested("arbiter")] = Field(  # type: ignore[valid-type]
        description="Arbiters whose scores are combined, by name; one at least."
    )
    combine: Literal["weighted", "lexicographic"] = Field("weighted", description="How scores become one.")
    weights: dict[str, float] = Field(
        default={}, description="Weights of the scores by name, where they are not 1; for `weighted`."
    )
    normalize: Literal["none", "language"] = Field(
        "none",
        description="language: each score counts as (score - mean) / standard deviation among the answers in its "
        "language, so that weights mean the same everywhere; for `weighted`.",
    )
    alone: Literal["abstains", "wins"] = Field(
        "abstains",
        description="What becomes of an answer that the gates leave without another, where a score compares answers: it `abstains` like "
        "that scorer (see above for exceptions), or it `wins` without a comparison.",
    )
    # The order of a mapping is lost in fingerprints, and here it decides verdicts: it is kept as a setting of its own.
    order: tuple[str, ...] | None = Field(
        None, description="Members by name, in the order in which they judge and compare; None: as written."
    )

    @field_validator("gates", "scores")
    @classmethod
    def _names_are_whole(cls, members: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in members:
            if not name or "/" in name:
                raise ValueError(f"'{name}' cannot name a member: in details, a slash divides member and detail")
        return members

    @model_validator(mode="before")
    @classmethod
    def _keep_the_order(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and settings.get("order") is None:
            parts = [part for key in ("gates", "scores") if isinstance(part := settings.get(key), Mapping)]
            return {**settings, "order": [name for part in parts for name in part]}
        return settings

    @model_validator(mode="after")
    def _settings_agree(self) -> Ensemble:
        if not self.scores:
            raise ValueError(
                "`scores` is empty: gates only say which answers may compete, so all would be equal; add a scorer, such "
                "as {consensus: {use: consensus}}"
            )
        if "won_alone" in (*self.gates, *self.scores):
            raise ValueError("'won_alone' cannot name a member: it is a detail of the ensemble's own")
        if both := sorted(self.gates.keys() & self.scores.keys()):
            raise ValueError(f"'{both[0]}' is both a gate and a score; rename one")
        for name, weight in self.weights.items():
            if name not in self.scores:
                raise ValueError(f"weights: no score named '{name}'; {did_you_mean(name, self.scores)}")
            if not math.isfinite(weight):
                raise ValueError(f"weights: '{name}' has weight {weight}; expected a finite number")
        if self.combine == "lexicographic" and (self.weights or self.normalize != "none"):
            what = "weights" if self.weights else "normalize"
            raise ValueError(f"`{what}` changes nothing where `combine: lexicographic` compares scores; leave it out")
        if sorted(self.order or ()) != sorted((*self.gates, *self.scores)):
            raise ValueError(f"order: expected each of {', '.join((*self.gates, *self.scores))} once")
        return self

    @property
    def pointwise(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether every verdict is on an answer by itself."""
        return self.combine == "weighted" and all(
            member.pointwise for member in (*self.gates.values(), *self.scores.values())
        )

    @property
    def orderless(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether the order of the answers decides nothing, for any member."""
        members = (*self.gates.values(), *self.scores.values())
        return all(member.pointwise or member.orderless for member in members)

    def build(self) -> Arbiter:
        """Build the members."""
        order = self.order or ()
        gates = {name: self.gates[name].build() for name in order if name in self.gates}
        scorers = {name: self.scores[name].build() for name in order if name in self.scores}
        if self.normalize == "language":
            scorers = {name: ZNormalized(scorer, name) for name, scorer in scorers.items()}
        if self.combine == "weighted":
            combine = weighted({name: self.weights.get(name, 1.0) for name in scorers})
        else:
            combine = lexicographic(tuple(scorers))
        has_middle = self.combine == "lexicographic" or self.normalize == "language"
        excused = {name for name, scorer in self.scores.items() if has_middle and not scorer.pointwise}
        needs_sample = any(isinstance(member, CalibratedArbiter) for member in (*gates.values(), *scorers.values()))
        kind = CalibratedEnsemble if needs_sample else EnsembleArbiter
        comparing = {name for name, scorer in self.scores.items() if not scorer.pointwise}
        return kind(gates, scorers, combine, excused, comparing if self.alone == "wins" else None)


def weighted(weights: Mapping[str, float]) -> Combine:
    """Sum weight x score."""
    return lambda candidates: [sum(weights[name] * score for name, score in scores.items()) for scores in candidates]


def lexicographic(order: Sequence[str]) -> Combine:
    """Compare by the first arbiter whose scores differ, and score a candidate by the share of the others that it beats.

    A tie counts half, and a lone candidate gets a half, as if it were tied with itself: so the mean over the candidates
    of a prompt is always a half.
    """

    def combine(candidates: Sequence[Scores]) -> Sequence[float]:
        if len(candidates) == 1:
            return [0.5]
        points = [0.0] * len(candidates)
        for one, two in combinations(range(len(candidates)), 2):
            won = _first_difference(candidates[one], candidates[two], order)
            points[one] += won
            points[two] += 1 - won
        return [won / (len(candidates) - 1) for won in points]

    return combine


def _first_difference(ours: Scores, theirs: Scores, order: Sequence[str]) -> float:
    for name in order:
        a, b = ours[name], theirs[name]
        if abs(a - b) > SAME * max(1.0, abs(a), abs(b)):
            return float(a > b)
    return 0.5


@dataclass
class Ruling:
    """What the members have said of one candidate so far.

    scores: by scorer. details: of all members. stopped: the first verdict without a score. excused: the first one that
    counts only if no scorer gives a score. is_alone: whether it is to win without a comparison.
    """

    scores: dict[str, float] = field(default_factory=dict)
    details: dict[str, float] = field(default_factory=dict)
    stopped: Verdict | None = None
    excused: Verdict | None = None
    is_alone: bool = False

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

    excused: scorers whose abstention on a lone candidate is left out of what `combine` gets. comparing: where a lone candidate wins,
    the scorers that are not asked about it; else None.
    """

    gates: Mapping[str, Arbiter]
    scorers: Mapping[str, Arbiter]
    combine: Combine
    excused: AbstractSet[str]
    comparing: AbstractSet[str] | None = None

    def keep_replies(self, stores: Callable[[Strategy[Any]], ReplyStore]) -> None:
        """Let the members keep theirs."""
        for member in (*self.gates.values(), *self.scorers.values()):
            if isinstance(member, KeepingArbiter):
                member.keep_replies(stores)

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Hand to each member, in one call so that its batches are full, all candidates that have come so far."""
        docket = _docket(cases)
        passed = docket
        for name, gate in self.gates.items():
            passed = _passed(name, gate, passed)
        met = [(case, rulings) for case, rulings in passed if not self._wins_alone(rulings)]
        for name, scorer in self.scorers.items():
            self._score(name, scorer, met if self.comparing and name in self.comparing else passed)
        for _, rulings in docket:
            placed = [ruling.scores for ruling in rulings if ruling.ended is None]
            scores = iter(self.combine(placed) if placed else ())
            for ruling in rulings if self.comparing else ():
                ruling.details["won_alone"] = float(ruling.is_alone and ruling.ended is None)
            yield [ruling.verdict(scores) for ruling in rulings]

    def _wins_alone(self, rulings: Sequence[Ruling]) -> bool:
        """Note and return whether a candidate is to win without a comparison."""
        is_alone = bool(self.comparing) and len(rulings) == 1
        for ruling in rulings:
            ruling.is_alone = is_alone
        return is_alone

    def _score(self, name: str, scorer: Arbiter, docket: Docket) -> None:
        for rulings, verdicts in _verdicts(name, scorer, docket):
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
    for rulings, verdicts in _verdicts(name, gate, docket):
        for ruling, verdict in zip(rulings, verdicts, strict=True):
            ruling.note(name, verdict)
            ruling.stopped = None if verdict.score is not None else _named(name, verdict)
    passed: Docket = []
    for case, rulings in docket:
        kept = [pair for pair in zip(case.candidates, rulings, strict=True) if pair[1].ended is None]
        if kept:
            passed.append((Case(case.prompt, tuple(one for one, _ in kept)), [ruling for _, ruling in kept]))
    return passed


def _verdicts(name: str, arbiter: Arbiter, docket: Docket) -> Iterator[tuple[list[Ruling], list[Verdict]]]:
    judged = list(checked_verdicts(arbiter, [case for case, _ in docket], f"arbiter '{name}'"))
    return ((rulings, verdicts) for (_, rulings), verdicts in zip(docket, judged, strict=True))


def _named(name: str, verdict: Verdict) -> Verdict:
    return Verdict(None, verdict.status, f"{name}: {verdict.reason}")


def _calibrate(arbiter: Arbiter, docket: Docket) -> None:
    if isinstance(arbiter, CalibratedArbiter):
        arbiter.calibrate([case for case, _ in docket])
