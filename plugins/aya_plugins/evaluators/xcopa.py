"""Measure whether a model finds the likelier cause or effect, in eleven languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from aya_core.api import DataError, Evaluator, EvaluatorStrategy, Field
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import XCOPA, Source
from aya_plugins.evaluators.multiple_choice import (
    METRICS,
    PROMPTING,
    MultipleChoice,
    Prompting,
    Question,
    choices,
    label_of,
)

CONNECTORS: Mapping[str, Mapping[str, str]] = {
    "et": {"cause": "sest", "effect": "seetõttu"},
    "ht": {"cause": "poukisa", "effect": "donk sa"},
    "id": {"cause": "karena", "effect": "maka"},
    "it": {"cause": "perché", "effect": "quindi"},
    "qu": {"cause": "imataq", "effect": "chaymi"},
    "sw": {"cause": "kwa sababu", "effect": "kwa hiyo"},
    "ta": {"cause": "காரணமாக", "effect": "எனவே"},
    "th": {"cause": "เพราะ", "effect": "ดังนั้น"},
    "tr": {"cause": "çünkü", "effect": "bu yüzden"},
    "vi": {"cause": "bởi vì", "effect": "vì vậy"},
    "zh": {"cause": "因为", "effect": "所以"},
}
"""Because and therefore, as the language model evaluation harness says them."""


class Xcopa(BenchmarkData, EvaluatorStrategy):
    """Measure accuracy on XCOPA's test rows: which of two sentences is likelier after a premise and `because` or `therefore`.

    The premise loses its last character, a full stop, and each choice its first capital. No examples are given.

    Source: Ponti et al. 2020, arXiv 2005.00333; prompts of lm-evaluation-harness 0.4.13, tasks xcopa_*, version 1.0.
    """

    asks = True
    metrics = METRICS
    source: ClassVar[Source] = XCOPA

    prompting: Prompting = Field("text", description=PROMPTING)

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when requests are asked for."""
        return MultipleChoice(self._questions, self._signature)

    def _signature(self) -> dict[str, str]:
        return {**self.data_signature(), "template": "lm-eval xcopa 1.0", "prompting": self.prompting}

    def _questions(self) -> Iterator[Question]:
        for row in self.asked("test"):
            connectors = CONNECTORS.get(row.language)
            if connectors is None:
                known = ", ".join(CONNECTORS)
                raise DataError(f"{row.place}: no connector in the language '{row.language}'; XCOPA has {known}")
            connector = connectors[("cause", "effect")[label_of(row, "question", ("cause", "effect"))]]
            context = f"{row.text('premise').strip()[:-1]} {connector}"
            options = tuple(text[0].lower() + text[1:] for text in (row.text("choice1"), row.text("choice2")))
            answer = label_of(row, "label", ("0", "1"))
            item = row.item("idx")
            yield Question(row.language, options, choices(context, options, self.prompting), answer, item=item)
