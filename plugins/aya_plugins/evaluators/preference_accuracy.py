"""Measure how often a model prefers the answer that was chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.api import (
    FAULTS,
    SHARE,
    DataError,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    LikelihoodTeacher,
    LogLikelihood,
    PluginError,
    Preference,
    Prompt,
    RowScore,
    RowsRef,
    Strategy,
    nested,
    read_rows,
)
from aya_plugins.benchmarks.drawn import LIMIT, drawn, limit_signature
from aya_plugins.evaluators.signatures import settings_of, versions


class PreferenceAccuracy(EvaluatorStrategy):
    """Count the pairs whose chosen answer a model finds likelier than the rejected one; a tie counts half.

    With a reference, what counts is the implicit reward log p_model - log p_reference (its factor beta
    moves no order).

    Source: Rafailov et al. 2023, arXiv 2305.18290, section 4, for the implicit reward; length normalization
    as in Meng et al. 2024 (SimPO), arXiv 2405.14734, equation 3.
    """

    metrics = {"preference_accuracy": SHARE, "unscored": FAULTS}

    rows: RowsRef = Field(description="Preferences to be told apart.")
    reference: nested("teacher") | None = Field(  # type: ignore[valid-type]
        None, description="Teacher that gives the reference's log-likelihoods; none compares the model's own."
    )
    limit: int | None = Field(None, ge=1, description=LIMIT)
    normalize_by_length: bool = Field(False, description="Divide by tokens before comparing, end of turn included.")

    def build(self) -> Evaluator:
        """Make the evaluator; the reference is loaded when a model is scored."""
        return _PreferenceAccuracy(self)


class _PreferenceAccuracy:
    def __init__(self, settings: PreferenceAccuracy) -> None:
        self._settings = settings

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        rows = list(drawn(read_rows(Path(self._settings.rows), Preference), self._settings.limit))
        chosen = self._rewards(evaluated, [(row.prompt, self._text(row, row.chosen)) for row in rows])
        rejected = self._rewards(evaluated, [(row.prompt, self._text(row, row.rejected)) for row in rows])
        for row, better, worse in zip(rows, chosen, rejected, strict=True):
            is_scored = math.isfinite(better) and math.isfinite(worse)
            yield RowScore(row.prompt.id, row.prompt.language, "unscored", float(not is_scored), item=row.prompt.item)
            if is_scored:
                value = 0.5 if better == worse else float(better > worse)
                item = row.prompt.item
                yield RowScore(row.prompt.id, row.prompt.language, "preference_accuracy", value, item=item)

    def signature(self) -> Mapping[str, str]:
        reference: Strategy[Any] | None = self._settings.reference
        return {
            "reference": "none" if reference is None else settings_of(reference),
            "normalize_by_length": str(self._settings.normalize_by_length).lower(),
            **limit_signature(self._settings.limit),
            **versions(),
        }

    def _text(self, row: Preference, text: str | None) -> str:
        more = ", ".join({**row.chosen_more, **row.rejected_more})
        if text is None or more:
            what = f"holds more than text ({more})" if more else "has one answer and no pair"
            raise DataError(
                f"{self._settings.rows}: row '{row.prompt.id}' {what}; expected pairs of texts, so leave such rows out"
            )
        return text

    def _rewards(self, evaluated: EvaluatedModel, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[float]:
        ours = evaluated.log_likelihoods(pairs)
        theirs = self._reference(pairs)
        divide = self._settings.normalize_by_length
        return [
            (own.nats - other.nats) / (own.tokens if divide and own.tokens else 1)  # no token, no number
            for own, other in zip(ours, theirs, strict=True)
        ]

    def _reference(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        if self._settings.reference is None:
            return [LogLikelihood(0.0, 1)] * len(pairs)
        teacher = self._settings.reference.build()
        if not isinstance(teacher, LikelihoodTeacher):
            raise PluginError("'preference-accuracy': the reference gives no log-likelihoods; use one that does")
        return teacher.log_likelihoods(pairs)
