"""Measure how well a model predicts known answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from aya_core.api import (
    FAULTS,
    DataError,
    Demonstration,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    Metric,
    RowScore,
    RowsRef,
    read_rows,
)
from aya_plugins.benchmarks.drawn import LIMIT, drawn, limit_signature
from aya_plugins.evaluators.signatures import versions


class Perplexity(EvaluatorStrategy):
    """Measure the bits that a model spends on each byte of known answers; less is better.

    bits_per_byte = -log2 p(answer | prompt) / bytes of the answer in UTF-8, over all answers of a language
    together. The end of the turn is among the bits. Bytes, unlike tokens, let models with different
    tokenizers be compared. Perplexity per byte is 2 to the power of this number.

    Source: bits per UTF-8 byte as in Gao et al. 2020 (The Pile), arXiv 2101.00027, section 3.1.
    """

    metrics = {"bits_per_byte": Metric("bits per byte", 0.0, None, "min"), "unscored": FAULTS}

    rows: RowsRef = Field(description="Demonstrations whose answers are to be predicted.")
    limit: int | None = Field(None, ge=1, description=LIMIT)

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when a model is scored."""
        return _Perplexity(self.rows, self.limit)


class _Perplexity:
    def __init__(self, rows: str, limit: int | None) -> None:
        self._rows = rows
        self._limit = limit

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        rows = list(drawn(read_rows(Path(self._rows), Demonstration), self._limit))
        for row in rows:
            if more := ", ".join(filter(None, [row.prompt.more, *row.more])):
                raise DataError(
                    f"{self._rows}: row '{row.prompt.id}' holds more than text ({more}), which has no bytes; leave such rows out"
                )
        likelihoods = evaluated.log_likelihoods([(row.prompt, row.completion) for row in rows])
        for row, likelihood in zip(rows, likelihoods, strict=True):
            size = len(row.completion.encode())
            if size == 0:
                raise DataError(f"{self._rows}: the answer to '{row.prompt.id}' is empty; expected some text")
            is_scored = math.isfinite(likelihood.nats)
            yield RowScore(row.prompt.id, row.prompt.language, "unscored", float(not is_scored), item=row.prompt.item)
            if not is_scored:
                continue
            bits = -likelihood.nats / math.log(2)
            value, weight = bits / size, float(size)
            yield RowScore(row.prompt.id, row.prompt.language, "bits_per_byte", value, weight, row.prompt.item)

    def signature(self) -> Mapping[str, str]:
        return {"unit": "bits per UTF-8 byte, end of turn included", **limit_signature(self._limit), **versions()}
