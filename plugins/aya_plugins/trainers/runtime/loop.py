"""The training loop: everything that does not depend on what the loss is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn

from aya_core.api import TrainingJob
from aya_plugins.modelling.rows import Ints
from aya_plugins.trainers.loop_settings import LoopSettings
from aya_plugins.trainers.runtime.ledger import Ledger
from aya_plugins.trainers.runtime.order import RowOrder, count_steps, forward_passes
from aya_plugins.trainers.runtime.resume import Saves
from aya_plugins.trainers.runtime.schedule import learning_rate


class Task(Protocol):
    """What a trainer trains on."""

    @property
    def name(self) -> str:
        """Of the trainer, for messages."""

    @property
    def lengths(self) -> Ints:
        """Tokens that each row takes in a forward pass, (rows,)."""

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows in the measures of a step; "loss" among them carries the gradient.

        Shares add up: over all forward passes of a step and all devices they give the measure of the step.
        """


@dataclass(frozen=True)
class Trained:
    """The end of a loop.

    state: the weights of the module by name, gathered on every process. measures: the last report.
    """

    state: Mapping[str, Tensor]
    measures: Mapping[str, float]
    is_main: bool


def start_accelerator(settings: LoopSettings) -> Accelerator:
    """Join the other processes of this run, if any, and choose the precision."""
    on_gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    wants_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and on_gpu)
    return Accelerator(mixed_precision="bf16" if wants_bf16 else "no")


def fit(accelerator: Accelerator, module: nn.Module, task: Task, settings: LoopSettings, job: TrainingJob) -> Trained:
    """Train a module for all its steps, from the newest save if there is one."""
    total = count_steps(len(task.lengths), settings.batch_rows, settings.epochs, settings.steps)
    order = RowOrder(len(task.lengths), settings.batch_rows, job.seed)
    world = accelerator.num_processes
    model, optimizer = accelerator.prepare(module, adamw(module, settings))
    model.train()
    saves = Saves(accelerator, job.work, settings.checkpoint_seconds)
    ledger = Ledger(accelerator, total, job.report, task.name)
    first, ledger.pending = saves.restore()
    for step in range(first, total):
        torch.manual_seed((job.seed * total + step) * world + accelerator.process_index)  # for dropout
        rate = learning_rate(step, total, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = order.step(step)
        passes = forward_passes(rows, task.lengths, settings.forward_tokens, accelerator.process_index, world)
        shares = []
        for index, part in enumerate(passes):
            with nullcontext() if index == len(passes) - 1 else accelerator.no_sync(model):
                measures = task.loss(model, part, rows)
                accelerator.backward(measures["loss"] * world)  # devices are averaged; shares are to be added
            shares.append(measures)
        norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        ledger.add(step, _added(shares), norm, rate, int(task.lengths[rows].sum()))
        if (step + 1) % settings.log_every == 0 or step + 1 == total:
            ledger.flush(step + 1)
        if step + 1 < total and saves.is_due():
            ledger.settle()
            saves.save(step + 1, ledger.pending)
    return Trained(accelerator.get_state_dict(model), {**ledger.latest, "steps": total}, accelerator.is_main_process)


def adamw(module: nn.Module, settings: LoopSettings) -> torch.optim.AdamW:
    """Make the optimizer. Norms and biases, having fewer than two dimensions, do not decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def _added(shares: list[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    if len(shares) == 1:
        return shares[0]
    return {name: torch.stack([share[name].detach() for share in shares]).sum(0) for name in shares[0]}
