"""Measure whether a model finds the right end of a story, in eleven languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aya_core.api import Evaluator, EvaluatorStrategy, Field
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import XSTORYCLOZE, Source
from aya_plugins.evaluators.multiple_choice import (
    METRICS,
    PROMPTING,
    MultipleChoice,
    Prompting,
    Question,
    choices,
    label_of,
)


class Xstorycloze(BenchmarkData, EvaluatorStrategy):
    """Measure accuracy on XStoryCloze's evaluation rows: which of two sentences is likelier after the four of a story.

    The four sentences are joined by spaces. No examples are given.

    Source: Lin et al. 2022, arXiv 2112.10668; prompts of lm-evaluation-harness 0.4.13, tasks xstorycloze_*, version 1.0.
    """

    asks = True
    metrics = METRICS
    source: ClassVar[Source] = XSTORYCLOZE

    prompting: Prompting = Field("text", description=PROMPTING)

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when requests are asked for."""
        return MultipleChoice(self._questions, self._signature)

    def _signature(self) -> dict[str, str]:
        return {**self.data_signature(), "template": "lm-eval xstorycloze 1.0", "prompting": self.prompting}

    def _questions(self) -> Iterator[Question]:
        for row in self.asked("eval"):
            context = " ".join(row.text(f"input_sentence_{number}") for number in range(1, 5))
            options = (row.text("sentence_quiz1"), row.text("sentence_quiz2"))
            answer = label_of(row, "answer_right_ending", ("1", "2"))
            item = row.item("story_id")
            yield Question(row.language, options, choices(context, options, self.prompting), answer, item=item)
