"""Score a model's answers by an arbiter, such as a reward model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aya_core.api import (
    FAULTS,
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
    RowScore,
    checked_verdicts,
    nested,
)
from aya_plugins.evaluators.signatures import settings_of, versions


class Reward(EvaluatorStrategy):
    """Give the mean score of a model's answers by any arbiter; `reward` is in the arbiter's own units.

    An arbiter that compares sees a prompt's samples by this model alone: scores of a model say how good it is only where they do not
    depend on what else is judged. Answers on which it abstains or fails are in the shares `abstained` and `failed`, not in the mean.
    """

    needs_answers = True
    version = 2
    metrics = {"reward": Metric(better="max"), "abstained": FAULTS, "failed": FAULTS}

    arbiter: nested("arbiter") = Field(description="The arbiter, such as a reward model.")  # type: ignore[valid-type]

    def build(self) -> Evaluator:
        """Make the evaluator; the arbiter is built when a model is scored."""
        return _Reward(self.arbiter)


class _Reward:
    def __init__(self, strategy: ArbiterStrategy) -> None:
        self._strategy = strategy

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        cases = list(_cases(evaluated, one_by_one=self._strategy.pointwise))
        arbiter: Arbiter = evaluated.arbiter(self._strategy)
        if isinstance(arbiter, CalibratedArbiter):
            arbiter.calibrate(cases)
        reason, is_scored = "", False
        for case, verdicts in zip(cases, checked_verdicts(arbiter, cases, "the arbiter of 'reward'"), strict=True):
            for verdict in verdicts:
                id, language, item = case.prompt.id, case.prompt.language, case.prompt.item
                yield RowScore(id, language, "abstained", float(verdict.status == "abstained"), item=item)
                yield RowScore(id, language, "failed", float(verdict.status == "failed"), item=item)
                if verdict.score is not None:
                    is_scored = True
                    yield RowScore(id, language, "reward", verdict.score, item=item)
                reason = reason or verdict.reason
        if not is_scored:
            raise DataError(
                f"evaluator 'reward': its arbiter scored none of {len(evaluated.answers)} answers ({reason})"
            )

    def signature(self) -> Mapping[str, str]:
        return {"arbiter": settings_of(self._strategy), **versions()}


def _cases(evaluated: EvaluatedModel, *, one_by_one: bool) -> Iterator[Case]:
    """Put the samples of each prompt together, or each answer by itself for an arbiter that looks at one at a time."""
    samples: dict[str, list[Completion]] = {}
    for answer in evaluated.answers:
        samples.setdefault(answer.prompt_id, []).append(answer)
    for prompt in evaluated.prompts:
        found = samples.get(prompt.id, [])
        groups = [(one,) for one in found] if one_by_one else [tuple(found)] if found else []
        yield from (Case(prompt, group) for group in groups)
