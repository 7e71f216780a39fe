"""Losses and gradients that are no finite numbers: found before the update, and blamed on rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from aya_core.api import AyaError
from aya_plugins.modeling.rows import Ints
from aya_plugins.trainers.runtime.task import Task

MOST_NAMED = 8


def check_finite(
    accelerator: Any, task: Task, shares: Sequence[Mapping[str, Tensor]], passes: Sequence[Ints], rows: Ints, norm: Tensor,
    *, when: str, newest: Callable[[], Path | None],
) -> None:  # fmt: skip
    """Raise AyaError where the loss or the gradient of a step is no finite number; all processes do, or none.

    shares: of each forward pass of this process. rows: of the step. norm: of the gradient, the same on all processes. when:
    the step, for the message. newest: finds the save that a run would resume from.
    """
    losses = torch.stack([share["loss"].detach().float() for share in shares])
    sums = torch.stack([losses.sum(), norm.detach().float().to(losses.device) / accelerator.num_processes])
    loss, gradient = accelerator.reduce(sums).tolist()
    if math.isfinite(loss) and math.isfinite(gradient):
        return
    suspects = [
        row for part, value in zip(passes, losses.tolist(), strict=True) if not math.isfinite(value) for row in part
    ]
    blamed = sorted({task.prompts[row].id for row in gather_object(suspects) or rows})
    names = ", ".join(f"'{id}'" for id in blamed[:MOST_NAMED])
    more = f" and {len(blamed) - MOST_NAMED} more" if len(blamed) > MOST_NAMED else ""
    what = f"loss is {loss}" if not math.isfinite(loss) else f"grad_norm is {gradient}"
    saved = newest()
    kept = f"; the state of the run as it was saved before lies in {saved}" if saved else ""
    raise AyaError(
        f"trainer '{task.name}': {what} at {when}, whose update was not made{kept}. The rows it was seen on are those of "
        f"{names}{more}: look at them, lower learning_rate, raise warmup, or train with precision: float32"
    )
