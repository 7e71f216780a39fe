"""What all trainers do: part the rows, train and measure, write the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from accelerate import Accelerator

from aya_core.api import TrainingJob, read_rows
from aya_plugins.trainers.loop_settings import LoopSettings
from aya_plugins.trainers.runtime.finish import OfPrompt, write
from aya_plugins.trainers.runtime.loop import fit
from aya_plugins.trainers.runtime.parts import Parts, Row, split
from aya_plugins.trainers.runtime.task import CountedTask

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
        list(read_rows(folder, cast(Any, record))) if folder else [] for folder in (job.rows, job.validation)
    )
    return split(job, rows, others, settings)


def make_tasks(job: TrainingJob, parts: Parts[Row], make: Callable[[Sequence[Row], Path], Made]) -> Tasks[Made]:
    """Make a task of each part of a job's rows. make: is given rows, and the folder they lie in for its messages."""
    training = make(parts.training, job.rows)
    if not parts.validation:
        return Tasks(parts.rows, training, None, training.account())
    validation = make(parts.validation, job.validation or job.rows)
    counts = {"held_back_rows": len(parts.rows) - len(parts.training), "validation_rows": len(validation.lengths)}
    return Tasks(parts.rows, training, validation, {**training.account(), **counts})


def run(
    accelerator: Accelerator, job: TrainingJob, settings: LoopSettings, tasks: Tasks[Made], module: Any, tokenizer: Any
) -> Mapping[str, float]:
    """Train a module, whose `model` is a transformers model, write its checkpoint, and return the final measures."""
    task = tasks.training
    trained = fit(accelerator, module, task, settings, job, tasks.validation)
    return write(
        trained, module, tokenizer, job, name=task.name, settings=settings, rows=tasks.rows, account=tasks.account
    )
