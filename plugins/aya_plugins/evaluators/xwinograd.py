"""Measure whether a model knows what a pronoun stands for, in six languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from aya_core.api import DataError, Evaluator, EvaluatorStrategy, Field, parse_json
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import XWINOGRAD, Source
from aya_plugins.benchmarks.tables import Row
from aya_plugins.evaluators.multiple_choice import (
    METRICS,
    PROMPTING,
    MultipleChoice,
    Prompting,
    Question,
    continuation,
    label_of,
)


class Schema(NamedTuple):
    """A sentence with `_` in place of its pronoun, the two that the pronoun may stand for, and the place of the right one."""

    sentence: str
    options: tuple[str, str]
    answer: int


class Xwinograd(BenchmarkData, EvaluatorStrategy):
    """Measure accuracy on XWinograd: after which of two names, in place of a pronoun, is the rest of the sentence likelier.

    What is scored is the same for both options, what comes before it is not. No examples are given.

    Source: Tikhonov and Ryabinin 2021, arXiv 2106.12066; Muennighoff et al. 2022, arXiv 2211.01786 (more Chinese); prompts of
    lm-evaluation-harness 0.4.13, tasks xwinograd_*, version 1.0.
    """

    asks = True
    metrics = METRICS
    source: ClassVar[Source] = XWINOGRAD

    prompting: Prompting = Field("text", description=PROMPTING)

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when requests are asked for."""
        return MultipleChoice(self._questions, self._signature)

    def _signature(self) -> dict[str, str]:
        return {**self.data_signature(), "template": "lm-eval xwinograd 1.0", "prompting": self.prompting}

    def _questions(self) -> Iterator[Question]:
        for row in self.asked("test"):
            schema = schema_of(row)
            before, blank, after = schema.sentence.partition("_")
            if not blank:
                raise DataError(
                    f"{row.place}: {schema.sentence!r:.60} has no blank; expected _ in place of the pronoun"
                )
            continuations = tuple(continuation(before + one, after.strip(), self.prompting) for one in schema.options)
            yield Question(row.language, schema.options, continuations, schema.answer)


def schema_of(row: Row) -> Schema:
    """Read a row of the hub's edition (option1, option2, answer 1 or 2), of JSONL with sentence_blank, options and answer 0 or 1, or
    of the first edition's dataset.tsv."""
    if "candidates" in row.values:
        return _of_tokens(row)
    if "option1" in row.values:
        return Schema(
            row.text("sentence"), (row.text("option1"), row.text("option2")), label_of(row, "answer", ("1", "2"))
        )
    options = row.values.get("options")
    if (
        not isinstance(options, list)
        or len(options) != 2
        or not all(isinstance(one, str) and one.strip() for one in options)
    ):
        raise DataError(
            f"{row.place}: options: {options!r:.60}; expected two texts, or the columns option1 and option2"
        )
    return Schema(row.text("sentence_blank"), (options[0], options[1]), label_of(row, "answer", ("0", "1")))


def _of_tokens(row: Row) -> Schema:
    """Find the pronoun in the text: it is told by its place among tokens, some of which are not written as in the text."""
    text = row.text("sentence")
    try:
        tokens = parse_json(row.text("tokens"))
        pronoun, (first, _), _ = parse_json(row.text("pronoun"))
        (one, _, _, is_one), (other, _, _, is_other) = parse_json(row.text("candidates"))
        place = 0
        for token in tokens[:first]:
            found = text.find(token, place)
            place = place if found < 0 else found + len(token)
        place = text.index(pronoun, place)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{row.place}: not a row of dataset.tsv ({error}); expected JSON of the tokens, of the pronoun [text, [first, last], "
            "tokens] and of two candidates [text, [first, last], tokens, whether it is right]"
        ) from None
    if is_one == is_other:
        raise DataError(f"{row.place}: {'both' if is_one else 'none'} of the candidates is right; expected one")
    return Schema(f"{text[:place]}_{text[place + len(pronoun) :]}", (one, other), 0 if is_one else 1)
