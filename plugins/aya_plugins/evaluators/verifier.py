"""Score a model's answers by a check against what is known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aya_core.api import FAULTS, SHARE, EvaluatedModel, Evaluator, EvaluatorStrategy, Metric, RowScore
from aya_plugins.checks import Checking, CheckOptions
from aya_plugins.evaluators.signatures import versions


class VerifierEvaluator(CheckOptions, EvaluatorStrategy):
    """Score each answer by a check against its prompt's reference; `verifier` is the mean over answers.

    Answers that could not be checked (no reference, or the check failed) are left out of the mean;
    `unverified` is their share of all answers.
    """

    version = 2
    needs_answers = True

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """Our checks give shares; what a function of the user's gives has no range that we know."""
        is_own = self.check is not None and ":" in self.check
        return {"verifier": Metric(better="max") if is_own else SHARE, "unverified": FAULTS}

    def build(self) -> Evaluator:
        """Load the check. Raises PluginError when a function of the recipe's cannot be imported."""
        return _Verifier(self.checking(), {**self.signature, **versions()})


@dataclass(frozen=True)
class _Verifier:
    checking: Checking
    names: Mapping[str, str]

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        prompts = {prompt.id: prompt for prompt in evaluated.prompts}
        for answer in evaluated.answers:
            prompt = prompts[answer.prompt_id]
            found = self.checking.verdict(answer.text, prompt)
            if found.score is not None:
                yield RowScore(prompt.id, prompt.language, "verifier", found.score, item=prompt.item)
            yield RowScore(prompt.id, prompt.language, "unverified", float(found.score is None), item=prompt.item)

    def signature(self) -> Mapping[str, str]:
        return self.names
