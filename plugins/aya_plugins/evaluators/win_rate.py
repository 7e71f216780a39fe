"""Compare a model's answers with a rival's, answer by answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from aya_core.api import (
    Arbiter,
    CalibratedArbiter,
    Case,
    Completion,
    Evaluator,
    Field,
    Prompt,
    RowScore,
    Strategy,
    Subject,
    checked_verdicts,
    nested,
    stable_hash,
)
from aya_plugins.evaluators.signatures import settings_of, versions


class WinRate(Strategy[Evaluator]):
    """Judge each answer against a rival's answer to the same prompt, and count wins, losses and ties.

    Sample i meets the rival's sample i. Equal scores are a tie. `win`, `loss` and `tie` are shares of the
    judged battles; `unjudged` is the share of all battles in which the judge abstained or failed, or one
    side gave no answer. Which answer the judge sees first is drawn by a hash, so that a judge with a liking
    for one place favours neither.
    """

    needs_answers: ClassVar[bool] = True
    headline: ClassVar[str] = "win"
    goal: ClassVar[str] = "max"

    against: str = Field(min_length=1, description="The rival: a model of the same stage.")
    judge: nested("arbiter") = Field(description="The arbiter whose scores decide.")  # type: ignore[valid-type]

    def build(self) -> Evaluator:
        """Build the judge."""
        return _WinRate(self)


class _WinRate:
    def __init__(self, settings: WinRate) -> None:
        self._settings = settings
        judge: Strategy[Any] = settings.judge
        self._judge: Arbiter = judge.build()

    def evaluate(self, subject: Subject) -> Iterator[RowScore]:
        battles = list(_battles(subject))
        cases = [case for _, _, case in battles if case is not None]
        if isinstance(self._judge, CalibratedArbiter):  # the scale does not change who of two is better
            self._judge.calibrate(cases)
        verdicts = checked_verdicts(self._judge, cases, "the judge of 'win-rate'")
        for prompt, swapped, case in battles:
            ours = theirs = None
            if case is not None:
                given = next(verdicts)
                ours, theirs = (verdict.score for verdict in (reversed(given) if swapped else given))
            judged = ours is not None and theirs is not None
            yield RowScore(prompt.id, prompt.language, "unjudged", float(not judged))
            if ours is not None and theirs is not None:
                yield RowScore(prompt.id, prompt.language, "win", float(ours > theirs))
                yield RowScore(prompt.id, prompt.language, "loss", float(ours < theirs))
                yield RowScore(prompt.id, prompt.language, "tie", float(ours == theirs))

    def signature(self) -> Mapping[str, str]:
        return {"against": self._settings.against, "judge": settings_of(self._settings.judge), **versions()}


def _battles(subject: Subject) -> Iterator[tuple[Prompt, bool, Case | None]]:
    """Yield each sample that either side answered: prompt, whether the rival comes first, and the case."""
    ours, theirs = _by_sample(subject.answers), _by_sample(subject.rival)
    prompts = {prompt.id: prompt for prompt in subject.prompts}
    for sample in dict.fromkeys((*ours, *theirs)):
        prompt = prompts[sample[0]]
        if sample not in ours or sample not in theirs:
            yield prompt, False, None
            continue
        swapped = int(stable_hash(sample)[:8], 16) % 2 == 1
        pair = (theirs[sample], ours[sample]) if swapped else (ours[sample], theirs[sample])
        yield prompt, swapped, Case(prompt, pair)


def _by_sample(answers: Sequence[Completion]) -> Mapping[tuple[str, int], Completion]:
    return {(answer.prompt_id, answer.index): answer for answer in answers}
