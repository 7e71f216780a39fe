"""What all trainers do: part the rows, train and measure, write the checkpoint."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from accelerate import Accelerator

from aya_core.api import AyaError, DataError, TrainingJob, stable_hash
from aya_plugins.trainers.runtime.ahead import try_the_end
from aya_plugins.trainers.runtime.finish import OfPrompt, write, write_along
from aya_plugins.trainers.runtime.loop import Trained, fit
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.stored_rows import StoredRows, joined, some_of
from aya_plugins.trainers.runtime.task import CountedTask

Row = TypeVar("Row", bound=OfPrompt)


@dataclass(frozen=True)
class Parts(Generic[Row]):
    """All rows of a job, those of them that are trained on, and those to be measured on. No prompt is in both parts."""

    rows: Sequence[Row]
    training: Sequence[Row]
    validation: Sequence[Row]


def split(job: TrainingJob, rows: Sequence[Row], others: Sequence[Row], settings: LoopSettings) -> Parts[Row]:
    """Part the rows of a job from those to be measured on.

    others: the rows of `job.validation`. Rows that are among theirs (`_known_by`) are not trained on. Raises AyaError where settings ask
    for evaluations during training and there is nothing to measure on, and where nothing is left to train on.
    """
    share = settings.validation.hold_back
    unseen = {known for row in others for known in _known_by(row)}
    kept, measured = rows, others
    if share or unseen:
        places, held_back = array("q"), array("q")
        for place, row in enumerate(rows):
            if not unseen or unseen.isdisjoint(_known_by(row)):
                (held_back if is_held_back(row.prompt.id, share) else places).append(place)
        kept, measured = some_of(rows, places), joined(others, some_of(rows, held_back))
    if len(rows) and not len(kept):
        told = (
            "give the stage other rows for `validation`, which ask the same" if unseen else "lower validation.hold_back"
        )
        raise DataError(
            f"{job.rows}: all {len(rows)} rows are held out to be measured on, and none is left to train on; {told}"
        )
    if not len(measured) and settings.validation.every is not None:
        why = f"a share of {share:g} of its prompts holds none back" if share else "none are held out"
        raise AyaError(
            f"{job.rows}: there are no rows to measure on, as {why}; raise validation.hold_back, or give the stage rows for "
            "`validation`"
        )
    return Parts(rows, kept, measured)


ANSWERS = ("completion", "more", "chosen", "chosen_more", "rejected", "rejected_more")
"""Where rows of all kinds hold what is answered."""


def _known_by(row: OfPrompt) -> tuple[int, int]:
    """By which a row is known again: its prompt with its id, and its prompt with its answer. The prompt counts without system turns; a
    text without a prompt is known by itself alone.

    Neither the prompt alone, as many texts may be the answer to one, nor the id: those of files without ids are made of names and
    numbers, which two files may share.
    """
    said = [turn for turn in row.prompt.messages if turn["role"] != "system"]
    parts = (getattr(row, name, None) for name in ANSWERS)
    answer = [dict(part) if isinstance(part, Mapping) else part for part in parts]
    same_answer = _number_of(["answer", said, row.prompt.tools, answer])
    return (_number_of(["id", said, row.prompt.tools, row.prompt.id]) if said else same_answer), same_answer


def _number_of(value: Any) -> int:
    """A number of 64 bits."""
    return int(stable_hash(value)[:16], 16)


def is_held_back(prompt_id: str, share: float) -> bool:
    """Say whether a prompt is held back. It depends on the prompt alone: all trainers hold back the same ones, and a larger
    share holds back those of a smaller one and more."""
    return int(stable_hash(["held back", prompt_id])[:13], 16) < share * 16**13


Made = TypeVar("Made", bound=CountedTask)


@dataclass(frozen=True)
class Tasks(Generic[Made]):
    """What is trained on and what is measured on, made of rows in the same way. rows: all of the job's."""

    rows: Sequence[OfPrompt]
    training: Made
    validation: Made | None
    account: Mapping[str, float]


def read_parts(job: TrainingJob, record: type[Row], settings: LoopSettings) -> Parts[Row]:
    """Read the rows of a job, and part those to be measured on."""
    rows, others = (
        StoredRows(folder, record, stopping=job.stopping) if folder else [] for folder in (job.rows, job.validation)
    )
    return split(job, rows, others, settings)


def make_tasks(job: TrainingJob, parts: Parts[Row], make: Callable[[Sequence[Row], Path], Made]) -> Tasks[Made]:
    """Make a task of each part of a job's rows. make: is given rows, and the folder they lie in for its messages."""
    training = make(parts.training, job.rows)
    if not len(parts.validation):
        return Tasks(parts.rows, training, None, training.account())
    validation = make(parts.validation, job.validation or job.rows)
    counts = {"held_back_rows": len(parts.rows) - len(parts.training), "validation_rows": len(validation.lengths)}
    return Tasks(parts.rows, training, validation, {**training.account(), **counts})


def run(
    accelerator: Accelerator, job: TrainingJob, settings: LoopSettings, tasks: Tasks[Made], module: Any, tokenizer: Any
) -> Mapping[str, float]:
    """Train a module, whose `model` is a transformers model, write its checkpoint, and return the final measures."""
    task = tasks.training
    if accelerator.is_main_process:
        try_the_end(job, settings, module.model, tokenizer, task.prompts, name=task.name)
    said: Any = {"name": task.name, "settings": settings, "rows": tasks.rows, "account": tasks.account}

    def keep(step: int, now: Trained) -> None:
        write_along(step, now, module, tokenizer, job, **said)

    trained = fit(accelerator, module, task, settings, job, tasks.validation, keep)
    return write(trained, module, tokenizer, job, **said)
