"""Rows to train on, and rows to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aya_core.api import AyaError, DataError, TrainingJob, stable_hash
from aya_plugins.trainers.loop_settings import LoopSettings
from aya_plugins.trainers.runtime.finish import OfPrompt

Row = TypeVar("Row", bound=OfPrompt)


@dataclass(frozen=True)
class Parts(Generic[Row]):
    """All rows of a job, those of them that are trained on, and those to be measured on. No prompt is in both parts."""

    rows: Sequence[Row]
    training: Sequence[Row]
    validation: Sequence[Row]


def split(job: TrainingJob, rows: Sequence[Row], others: Sequence[Row], settings: LoopSettings) -> Parts[Row]:
    """Part the rows of a job from those to be measured on.

    others: the rows of `job.validation`. Rows whose prompt is among theirs are not trained on. Raises AyaError where settings
    ask for evaluations during training and there is nothing to measure on, and where nothing is left to train on.
    """
    share = settings.validation.hold_back
    unseen = {row.prompt.id for row in others}
    held_back = [row for row in rows if is_held_back(row.prompt.id, share)]
    kept = [row for row in rows if row.prompt.id not in unseen and not is_held_back(row.prompt.id, share)]
    measured = [*others, *(row for row in held_back if row.prompt.id not in unseen)]
    if rows and not kept:
        raise DataError(
            f"{job.rows}: all {len(rows)} rows are held out to be measured on, and none is left to train on; lower "
            "validation.hold_back, or give the stage other rows for validation"
        )
    if not measured and settings.validation.every is not None:
        why = f"a share of {share:g} of its prompts holds none back" if share else "none are held out"
        raise AyaError(
            f"{job.rows}: there are no rows to measure on, as {why}; raise validation.hold_back, or give the stage rows for "
            "`validation`"
        )
    return Parts(rows, kept, measured)


def is_held_back(prompt_id: str, share: float) -> bool:
    """Say whether a prompt is held back. It depends on the prompt alone: all trainers hold back the same ones, and a larger
    share holds back those of a smaller one and more."""
    return int(stable_hash(["held back", prompt_id])[:13], 16) < share * 16**13
