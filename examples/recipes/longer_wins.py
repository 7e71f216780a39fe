"""How well length alone tells the chosen answer of a pair: the number beside which a preference accuracy is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from aya_core.api import (
    SHARE,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    Preference,
    RowScore,
    RowsRef,
    hookimpl,
    read_rows,
)


class LongerWins(EvaluatorStrategy):
    """Count the pairs whose chosen answer has more bytes than the rejected one; a tie counts half.

    It is a fact about the pairs, so it is the same for every model.
    """

    metrics = {"longer_wins": SHARE}

    rows: RowsRef = Field(description="Preferences to be told apart.")

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when it is asked."""
        return _LongerWins(self.rows)


class _LongerWins:
    def __init__(self, rows: str) -> None:
        self._rows = rows

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        for row in read_rows(Path(self._rows), Preference):
            chosen, rejected = len(row.chosen.encode()), len(row.rejected.encode())
            value = 0.5 if chosen == rejected else float(chosen > rejected)
            yield RowScore(row.prompt.id, row.prompt.language, "longer_wins", value, item=row.prompt.item)

    def signature(self) -> Mapping[str, str]:
        return {"length": "bytes in UTF-8"}


@hookimpl
def aya_evaluators() -> Mapping[str, type[EvaluatorStrategy]]:
    """Offer the baseline to the recipe that lists this file under `plugins`."""
    return {"longer-wins": LongerWins}
