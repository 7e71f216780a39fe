"""What a trainer that shows its rows must do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from aya_core.contract.kinds import ShowingTrainer, ShownRow, ShownToken, TrainerStrategy, TrainingJob
from aya_core.testing.rules import expect


def check_shown(strategy: TrainerStrategy, folder: Path, start: Path | None, rows: Sequence[Any]) -> None:
    """Check what a trainer shows of rows, which lie in `folder/rows`: each as tokens, in their order.

    A trainer that shows none passes, and so do rows of which no prompt is known.
    """
    trainer = strategy.build()
    if not isinstance(trainer, ShowingTrainer) or not hasattr(rows[0], "prompt"):
        return
    shown = list(trainer.show(TrainingJob(folder / "rows", folder, folder, seed=0, start=start)))
    for row in shown:
        expect(isinstance(row, ShownRow), strategy, f"show() yielded {type(row).__name__}; expected ShownRow")
        strange = [token for token in row.tokens if not isinstance(token, ShownToken)]
        expect(not strange, strategy, "the tokens of a ShownRow must be of ShownToken")
        expect(bool(row.tokens) or bool(row.note), strategy, "a row without tokens must have a note that says why")
    expected = [(row.prompt.id, row.prompt.language) for row in rows]
    expected = [key for key, _ in groupby(expected)]  # the answers of a group follow one another
    found = [key for key, _ in groupby((row.prompt_id, row.language) for row in shown)]
    expect(found == expected, strategy, f"show() must yield every row in its order; expected {expected}, got {found}")
