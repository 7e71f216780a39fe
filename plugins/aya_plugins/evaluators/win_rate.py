"""Compare a model's answers with a rival's, answer by answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import model_validator

from aya_core.api import (
    COUNTED,
    FAULTS,
    SHARE,
    Arbiter,
    ArbiterStrategy,
    CalibratedArbiter,
    Case,
    Completion,
    DataError,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    Metric,
    Prompt,
    Reasons,
    RowScore,
    Strategy,
    Verdict,
    checked_verdicts,
    nested,
)
from aya_plugins.arbiters.judge_pairwise import drawn_order
from aya_plugins.evaluators.signatures import settings_of, versions

REASONS = 3
"""Reasons that a message shows."""


class WinRate(EvaluatorStrategy):
    """Judge each answer against a rival's answer to the same prompt, and count wins, losses and ties.

    Sample i meets the rival's sample i. An arbiter that compares sees both answers in both orders; where the orders disagree it
    is a tie, which is counted. With `orders: drawn` it sees them once, as in papers of the Aya family (docs/win-rates.md). It sees
    no names. Equal answers tie unasked, and an empty one loses unasked to any other. An arbiter that scores answers by themselves
    gives the win to the higher score, and equal scores are a tie. A verdict that failed is never guessed, and never kept: it is
    asked for again when the evaluator runs again.

    | metric | of |
    |---|---|
    | win, loss, tie | shares of the battles that were judged; they add up to 1, so ties are in the denominator of `win` |
    | unjudged | share of all battles without a result: the judge abstained or failed, or a side gave no answer |
    | failed | share of all battles in which the judge gave no verdict that could be read, in either order |
    | empty | share of all battles in which the model's answer was empty |
    | order_disagreement | share of the judged battles in which the two orders disagreed; only where both were shown |
    | first_position | share of verdicts with a winner that went to the answer shown first; 0.5 without a liking for a place |
    | length | mean length of the model's answers, in characters |
    | length_difference | mean of that less the rival's |
    | length_ratio | the model's characters for each of the rival's, over all battles |
    """

    needs_answers = True
    metrics = {
        "win": SHARE, "loss": FAULTS, "tie": COUNTED, "unjudged": FAULTS, "failed": FAULTS, "empty": FAULTS,
        "order_disagreement": COUNTED, "first_position": COUNTED, "length": Metric("characters", 0.0),
        "length_difference": Metric("characters"), "length_ratio": Metric("times the rival's length", 0.0),
    }  # fmt: skip

    against: str | nested("teacher") = Field(  # type: ignore[valid-type]
        description="The rival: a model of the same stage, or a teacher who answers for it, such as "
        "{use: recorded, path: rival.jsonl}."
    )
    judge: nested("arbiter") = Field(  # type: ignore[valid-type]
        description="The arbiter who decides, such as {use: judge, teacher: ...}."
    )
    orders: Literal["both", "drawn"] | None = Field(
        None,
        description="For an arbiter that compares: show each battle in both orders, or once, in an order that a hash draws. None means "
        "what a `judge` says itself (its own `orders`), and both for others.",
    )
    order_seed: int = Field(0, description="`orders: drawn`: another seed draws other orders; a `judge` has its own.")

    @model_validator(mode="after")
    def _orders_are_the_judges(self) -> Self:
        judge: ArbiterStrategy = self.judge
        own = dict(judge).get("orders")
        if self.orders is not None and judge.pointwise:
            raise ValueError("orders changes nothing for a judge that scores answers by themselves; leave it out")
        if self.orders is not None and judge.orderless and self.orders != (own or "both"):
            raise ValueError(
                f"this judge shows answers in its own manner; set judge.orders: {self.orders}, and leave this out"
            )
        if self.order_seed and (self.orders != "drawn" or judge.orderless):
            raise ValueError(
                "order_seed draws the orders of `orders: drawn` here; a judge with orders has its own order_seed"
            )
        return self

    def build(self) -> Evaluator:
        """Make the evaluator; the judge is built when a model is scored."""
        return _WinRate(self)


class _WinRate:
    def __init__(self, settings: WinRate) -> None:
        self._settings = settings
        judge: ArbiterStrategy = settings.judge
        self._compares = not judge.pointwise
        self._draws = settings.orders == "drawn" and not judge.orderless
        self._shows_both = self._compares and not judge.orderless and not self._draws
        self._sees_both = self._compares and "drawn" not in (settings.orders, dict(judge).get("orders"))

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        battles = list(_battles(evaluated))
        asked = [battle for battle in battles if battle.is_met and self._outcome_unasked(battle) is None]
        cases = [case for battle in asked for case in self._cases(battle)]
        verdicts: Iterator[Sequence[Verdict]] = iter(())
        unjudged = Reasons(keep_equal=True)
        if cases:
            arbiter: Arbiter = evaluated.arbiter(self._settings.judge)
            if isinstance(arbiter, CalibratedArbiter):
                arbiter.calibrate(cases)
            verdicts = _noted(checked_verdicts(arbiter, cases, "the judge of 'win-rate'"), unjudged)
        is_any_judged = False
        for battle in battles:
            outcome = self._outcome_unasked(battle) if battle.is_met else Outcome()
            if outcome is None:
                outcome = self._outcome(battle, verdicts)
            is_any_judged |= outcome.points is not None
            yield from self._rows(battle, outcome)
        if not is_any_judged:
            unmet = sum(not battle.is_met for battle in battles)
            if unmet:
                unjudged.add("no answer of one side", unmet)
            why = "; ".join(f"{reason} ({count} times)" for reason, count in unjudged.counts(REASONS).items())
            raise DataError(f"none of {len(battles)} battles has a result: {why or 'nobody has answered'}")

    def signature(self) -> Mapping[str, str]:
        against = self._settings.against
        named = settings_of(against) if isinstance(against, Strategy) else str(against)
        orders = {True: "both", False: "the arbiter's own"}[self._shows_both] if self._compares else "none"
        if self._draws:
            orders = f"drawn, seed {self._settings.order_seed}"
        return {"against": named, "judge": settings_of(self._settings.judge), "orders": orders, **versions()}

    def _cases(self, battle: Battle) -> Iterator[Case]:
        """What is judged of a battle."""
        ahead, behind = battle.cases()
        if self._draws:
            yield ahead if self._is_ahead(battle) else behind
        else:
            yield ahead
            if self._shows_both:
                yield behind

    def _outcome(self, battle: Battle, verdicts: Iterator[Sequence[Verdict]]) -> Outcome:
        if self._shows_both:
            return both_orders(next(verdicts), next(verdicts))
        if self._draws:
            return drawn(next(verdicts), is_ahead=self._is_ahead(battle))
        return one_order(next(verdicts))

    def _is_ahead(self, battle: Battle) -> bool:
        """Draw whether the model's answer is shown first."""
        ahead, _ = battle.cases()
        own, rival = (candidate.text for candidate in ahead.candidates)
        return drawn_order(self._settings.order_seed, battle.prompt.id, own, rival) == (own, rival)

    def _outcome_unasked(self, battle: Battle) -> Outcome | None:
        return decided(battle) if self._compares else None

    def _rows(self, battle: Battle, outcome: Outcome) -> Iterator[RowScore]:
        prompt = battle.prompt

        def row(metric: str, value: float, weight: float = 1.0) -> RowScore:
            return RowScore(prompt.id, prompt.language, metric, float(value), float(weight), prompt.item)

        yield row("unjudged", outcome.points is None)
        yield row("failed", outcome.has_failed)
        if outcome.points is not None:
            yield row("win", outcome.points == 1)
            yield row("loss", outcome.points == 0)
            yield row("tie", outcome.points == 0.5)
            if self._sees_both:
                yield row("order_disagreement", outcome.disagrees)
        if shown := outcome.first_wins + outcome.second_wins:
            yield row("first_position", outcome.first_wins / shown, shown)
        if battle.own is not None:
            yield row("empty", not battle.own.text.strip())
        if battle.own is not None and battle.rival is not None:
            own, rival = len(battle.own.text), len(battle.rival.text)
            yield row("length", own)
            yield row("length_difference", own - rival)
            if rival:
                yield row("length_ratio", own / rival, rival)


def _battles(evaluated: EvaluatedModel) -> Iterator[Battle]:
    """Yield each sample that either side answered. Answers lose the names of who gave them."""
    ours, theirs = _by_sample(evaluated.answers), _by_sample(evaluated.rival)
    prompts: Mapping[str, Prompt] = {prompt.id: prompt for prompt in evaluated.prompts}
    for sample in dict.fromkeys((*ours, *theirs)):
        yield Battle(prompts[sample[0]], ours.get(sample), theirs.get(sample))


def _noted(verdicts: Iterator[Sequence[Verdict]], unjudged: Reasons) -> Iterator[Sequence[Verdict]]:
    """Yield verdicts, and count why there is none where there is none."""
    for several in verdicts:
        for reason in {one.reason or one.status for one in several if one.score is None}:
            unjudged.add(reason)
        yield several


def _by_sample(answers: Sequence[Completion]) -> Mapping[tuple[str, int], Completion]:
    return {(answer.prompt_id, answer.index): replace(answer, teacher="") for answer in answers}


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

    def cases(self) -> tuple[Case, Case]:
        """Both orders of a battle that is met: the model's answer first, and the rival's first."""
        assert self.own is not None
        assert self.rival is not None
        return Case(self.prompt, (self.own, self.rival)), Case(self.prompt, (self.rival, self.own))


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


def drawn(verdicts: Sequence[Verdict], *, is_ahead: bool) -> Outcome:
    """Read the verdicts on the answers in the one order shown. is_ahead: whether the model's answer was shown first."""
    first = _points(*verdicts)
    points = first if first is None or is_ahead else 1 - first
    return Outcome(points, _has_failed(verdicts), False, float(first == 1), float(first == 0))


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
