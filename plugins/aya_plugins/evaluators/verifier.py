"""Score a model's answers by a check against what is known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aya_core.api import EvaluatedModel, Evaluator, EvaluatorStrategy, RowScore
from aya_plugins.checks import Checking, CheckOptions
from aya_plugins.evaluators.signatures import versions


class VerifierEvaluator(CheckOptions, EvaluatorStrategy):
    """Score each answer by a check against its prompt's reference; `verifier` is the mean over answers.

    Answers that could not be checked (no reference, or the check failed) are left out of the mean;
    `unverified` is their share of all answers.
    """

    version = 2
    needs_answers = True
    headline = "verifier"
    goal = "max"

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
                yield RowScore(prompt.id, prompt.language, "verifier", found.score)
            yield RowScore(prompt.id, prompt.language, "unverified", float(found.score is None))

    def signature(self) -> Mapping[str, str]:
        return self.names
