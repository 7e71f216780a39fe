"""Compare a model's answers with reference answers by chrF++."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aya_core.api import DataError, EvaluatedModel, Evaluator, EvaluatorStrategy, Field, RowScore
from aya_plugins.chrf import CHRF, SentenceChrf
from aya_plugins.evaluators.signatures import versions


class Chrf(EvaluatorStrategy):
    """Score each answer by sentence chrF++ against its prompt's reference, in [0, 100]; `chrf` is the mean.

    The mean of sentences, unlike chrF++ of the corpus, has a standard error by prompt. Prompts without a
    reference are left out; without any it is an error.

    Source: Popović 2015 (W15-3049), 2017 (W17-4770), as computed by sacrebleu (Post 2018, W18-6319).
    """

    imports = ("sacrebleu",)
    extra = "eval"
    needs_answers = True
    metrics = {"chrf": CHRF}

    word_order: int = Field(2, ge=0, le=4, description="Longest word n-grams beside those of characters; 0 is chrF.")

    def build(self) -> Evaluator:
        """Load sacrebleu."""
        return _Chrf(SentenceChrf(self.word_order))


class _Chrf:
    def __init__(self, chrf: SentenceChrf) -> None:
        self._chrf = chrf

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        prompts = {prompt.id: prompt for prompt in evaluated.prompts}
        if all(prompt.reference is None for prompt in prompts.values()):
            raise DataError("evaluator 'chrf': no prompt has a reference; expected reference answers")
        for answer in evaluated.answers:
            prompt = prompts[answer.prompt_id]
            if prompt.reference is not None:
                value = self._chrf(answer.text, prompt.reference)
                yield RowScore(prompt.id, prompt.language, "chrf", value, item=prompt.item)

    def signature(self) -> Mapping[str, str]:
        return {"chrf": f"mean of sentences|{self._chrf.signature()}", **versions("sacrebleu")}
