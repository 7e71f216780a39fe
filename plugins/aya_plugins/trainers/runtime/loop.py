"""The training loop: everything that does not depend on what the loss is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn

from aya_core.api import AyaError, StoppedError, TrainingJob
from aya_plugins.modeling.checkpoint import load_config
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.layout import is_padding_free, set_attention
from aya_plugins.trainers.runtime.ahead import check_space
from aya_plugins.trainers.runtime.dropout import no_dropout
from aya_plugins.trainers.runtime.faults import check_finite
from aya_plugins.trainers.runtime.ledger import Ledger
from aya_plugins.trainers.runtime.lora import Adapter, add_lora, keep_frozen_in
from aya_plugins.trainers.runtime.optimizers import learning_rate, make_optimizer
from aya_plugins.trainers.runtime.order import PassLimits, RowOrder, count_steps, forward_passes
from aya_plugins.trainers.runtime.out_of_memory import Pass, lowering
from aya_plugins.trainers.runtime.resume import Saves, checkpoint_along
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.sharding import (
    accumulating,
    backward,
    before_sharding,
    clip,
    is_sharded,
    tie,
    until_sharded,
    update,
)
from aya_plugins.trainers.runtime.task import Task
from aya_plugins.trainers.runtime.validation import Watch
from aya_plugins.trainers.runtime.weights import Average, Best

__all__ = ["Keep", "Task", "Trained", "fit", "start_accelerator"]


@dataclass(frozen=True)
class Trained:
    """The end of a loop.

    state: the weights of the module by name, gathered on the first process; with a LoRA merged, unless it is to be written as an
    adapter. measures: the last report, those of the held-out rows under the weights that are written, and `steps`.
    adapter: the LoRA, where it is to be written as such.
    """

    state: Mapping[str, Tensor]
    measures: Mapping[str, float]
    is_main: bool
    adapter: Adapter | None = None


Keep = Callable[[int, Trained], None]
"""Writes a checkpoint along the run: the steps that are done, and what would be written."""


def start_accelerator(settings: LoopSettings) -> Accelerator:
    """Join the other processes of this run, if any, and choose the precision."""
    on_gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    wants_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and on_gpu)
    accelerator = Accelerator(mixed_precision="bf16" if wants_bf16 else "no")
    if settings.batch_rows % accelerator.num_processes:
        raise AyaError(
            f"`batch_rows` {settings.batch_rows} cannot be shared by {accelerator.num_processes} processes "
            "(`launch.processes`, or all visible GPUs); make it a multiple"
        )
    until_sharded(accelerator)
    return accelerator


def fit(
    accelerator: Accelerator,
    module: nn.Module,
    task: Task,
    settings: LoopSettings,
    job: TrainingJob,
    validation: Task | None = None,
    keep: Keep | None = None,
) -> Trained:
    """Train a module, whose `model` is a transformers model, from the newest save if there is one.

    validation: the held-out rows. keep: writes a checkpoint along the run. Raises AyaError for a loss or gradient that is no finite
    number, before the update, and StoppedError, after a save, where the run was told to stop.
    """
    model: Any = module.model
    with no_dropout(model) if settings.disable_dropout else nullcontext():
        return Loop(accelerator, module, task, settings, job, validation, keep).run()


class Loop:
    """One run of the loop. done: steps that are behind it."""

    def __init__(
        self, accelerator: Accelerator, module: nn.Module, task: Task, settings: LoopSettings, job: TrainingJob,
        validation: Task | None, keep: Keep | None = None,
    ) -> None:  # fmt: skip
        self.keep = keep
        self.work = job.work
        self.accelerator, self.task, self.settings, self.seed = accelerator, task, settings, job.seed
        self.done = 0
        self.total = count_steps(len(task.lengths), settings.batch_rows, settings.epochs, settings.steps)
        self.order = RowOrder(len(task.lengths), settings.batch_rows, job.seed)
        self.adapter = _prepare(accelerator, module, settings, job)
        if accelerator.is_main_process:
            check_space(job, settings, module, name=task.name)
        before_sharding(accelerator, module, settings)
        self.limits = _limits(module, settings)  # before ZeRO-3 takes the head apart
        self.model, self.optimizer = accelerator.prepare(module, make_optimizer(module, settings))
        is_watched = self.model is not module or is_sharded(accelerator)  # by a wrapper, or by hooks, for its gradients
        if isinstance(module, AnswerLogps) and not is_watched and accelerator.device.type == "cpu":
            module.accumulate_alone()
        self.ledger = Ledger(accelerator, self.total, job.report)
        self.average = Average(self.model, settings.ema) if settings.ema is not None else None
        self.watch = None
        if validation is None and settings.validation.every is not None:
            raise AyaError(f"trainer '{task.name}' has no held-out rows for `validation.every`; remove it")
        if validation is not None:
            self.watch = Watch(accelerator, validation, settings.validation, self.total, settings.forward_tokens)
        self.best = Best(self.model) if self.watch and settings.validation.keep == "best" else None
        parts = {"ledger": self.ledger, "average": self.average, "watch": self.watch, "best": self.best}
        stateful = {name: part for name, part in parts.items() if part is not None}
        every_seconds = math.inf if settings.checkpoint_seconds is None else settings.checkpoint_seconds
        self.saves = Saves(accelerator, job.work, every_seconds, self.model, self.optimizer, stateful, job.stopping)

        # of finished runs that were shorter
        self.finished: Saves | None = None
        if job.alike is not None:
            self.finished = replace(self.saves, work=job.alike, latest=self._latest_to_go_on_from())

    def _latest_to_go_on_from(self) -> int:
        """The last step of a shorter run from which this one can go on: checkpoints along the run are not made afterwards."""
        missing = [step for step in self.settings.checkpoint_steps if not checkpoint_along(self.work, step).is_dir()]
        return min([self.total, *(step - 1 for step in missing)])

    def run(self) -> Trained:
        """Do the steps that are left, and evaluate, report and save between them."""
        self._begin()
        self.model.train()
        if self.done == 0:
            self._evaluate()
        looked = None
        while self.done < self.total and not (self.watch and self.watch.has_lost_patience):
            self._step()
            self.done += 1
            is_last = self.done == self.total
            if self.done % self.settings.log_every == 0 or (is_last and not self.settings.keep_state):
                self.ledger.flush(self.done)
            if not is_last or self.done % (self.settings.validation.every or self.total + 1) == 0:
                self._evaluate()
                looked = self.done
            if self.done in self.settings.checkpoint_steps:
                self._keep_checkpoint()
            if not is_last:
                self._save_if_wanted()
        if self.done == self.total:
            self._keep_state()  # before what a longer run would not do here
        self.ledger.flush(self.done)
        if looked != self.done == self.total:
            self._evaluate()
        return self._end()

    def _begin(self) -> None:
        """Take up the newest save, or else the state that a shorter run of the same kind has kept."""
        self.done = self.saves.restore()
        if self.done == 0 and self.finished is not None:
            self.done = self.finished.restore()
            if self.done:
                self.ledger.continued_from = self.done

    def _keep_state(self) -> None:
        """Let longer runs go on from here, where the settings say so."""
        if not self.settings.keep_state or self.finished is None:
            return
        self.finished.work.mkdir(parents=True, exist_ok=True)
        with self.ledger.aside():
            self.ledger.settle()
            self.finished.save(self.done)

    def _keep_checkpoint(self) -> None:
        """Write what would be written if the run ended here."""
        if self.keep is None or checkpoint_along(self.work, self.done).is_dir():
            return
        with self.ledger.aside(), self.average.in_place() if self.average else nullcontext():
            self.keep(self.done, self._gathered())
        self.accelerator.wait_for_everyone()

    def _save_if_wanted(self) -> None:
        """Save, if it is time. Raises StoppedError, after a save, where the run was told to stop."""
        is_due, is_stopping = self.saves.wanted()
        if not is_due and not is_stopping:
            return
        with self.ledger.aside():
            self.ledger.settle()
            self.saves.save(self.done)
        if is_stopping:
            raise StoppedError(
                f"trainer '{self.task.name}': told to stop after step {self.done} of {self.total}; the same command goes on from "
                f"{self.saves.newest() or 'the beginning'}"
            )

    def _step(self) -> None:
        """Make one update from all rows of a step."""
        accelerator, task, settings = self.accelerator, self.task, self.settings
        world = accelerator.num_processes
        rows, rate = self.order.step(self.done), learning_rate(self.done, self.total, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        passes = forward_passes(rows, task, self.limits, accelerator.process_index, world)
        shares = []
        for index, part in enumerate(passes):
            torch.manual_seed(_seed(self.seed, self.done, int(part[0])))  # for dropout
            is_last = index == len(passes) - 1
            with (
                self._lowering(f"step {self.done + 1} of {self.total} was made", Pass.of(task.lengths[part])),
                accumulating(accelerator, self.model, is_last=is_last),
            ):
                measures = task.loss(self.model, part, rows)
                # devices are averaged; shares are to be added
                backward(accelerator, self.model, measures["loss"] * world, is_last=is_last)
            shares.append(measures)
        norm = clip(accelerator, self.model, settings.clip_norm)
        when = f"step {self.done + 1} of {self.total} (learning rate {rate:.3g})"
        check_finite(accelerator, task, shares, passes, rows, norm, when=when, newest=self.saves.newest)
        with self._lowering(f"the update of step {self.done + 1} of {self.total} was made"):
            norm = update(accelerator, self.model, self.optimizer, norm)
        if self.average:
            self.average.update()
        self.ledger.add(_added(shares), norm, rate, int(task.lengths[rows].sum()))

    def _lowering(self, what: str, now: Pass | None = None) -> AbstractContextManager[None]:
        return lowering(self.task.name, self.settings, what, self.model, now, saved=self.saves.newest)

    def _evaluate(self) -> None:
        """Measure the held-out rows, if it is time, under the weights that would be written."""
        if self.watch is None or not self.watch.is_due(self.done):
            return
        with self.ledger.aside(), self.average.in_place() if self.average else nullcontext():
            longest = int(self.watch.task.lengths.max())
            rows = max(1, self.settings.forward_tokens // longest)
            widest = Pass(rows, longest, rows * longest, is_followed=False)
            with self._lowering(f"held-out rows were measured after step {self.done}", widest):
                is_best = self.watch.look(self.model, self.done)
            if is_best and self.best:
                self.best.take()
        self.ledger.say(self.done, self.watch.latest)

    def _end(self) -> Trained:
        """Gather the weights that are to be written."""
        if self.best:
            self.best.put()
        elif self.average:
            self.average.exchange()
        return self._gathered()

    def _gathered(self) -> Trained:
        """The weights as they are, on the first process."""
        state, is_main = self.accelerator.get_state_dict(self.model), self.accelerator.is_main_process
        if is_sharded(self.accelerator):
            state = tie(self.accelerator.unwrap_model(self.model), state or {})  # ZeRO-3 tells the first process alone
        found = {**self.ledger.latest, **(self.watch.kept if self.watch else {}), "steps": self.done}
        if self.ledger.continued_from is not None:
            found["continued_from"] = self.ledger.continued_from
        every = [self.saves, *([self.finished] if self.finished else [])]
        if failed := sum(saves.failed for saves in every):
            found["failed_saves"] = failed
        if damaged := sum(saves.damaged for saves in every):
            found["damaged_saves"] = damaged
        if is_main and self.adapter and self.adapter.settings.save == "merged":
            return Trained(self.adapter.merged(state), found, is_main)
        return Trained(state, found, is_main, self.adapter)


def _prepare(accelerator: Accelerator, module: Any, settings: LoopSettings, job: TrainingJob) -> Adapter | None:
    """Put a LoRA into the module, if one is wanted, and set how it computes attention, activations and rows."""
    wants_copy = settings.ema is not None or settings.validation.keep == "best"
    if wants_copy and accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise AyaError(
            "`ema` and `keep: best` do not go with DeepSpeed, which keeps the weights elsewhere; choose another launch profile"
        )
    adapter = add_lora(module, settings.lora, seed=job.seed) if settings.lora else None
    is_rounded = accelerator.mixed_precision == "bf16" and not is_sharded(accelerator)
    if adapter and is_rounded and job.start and load_config(job.start).dtype == torch.bfloat16:  # then no bit is lost
        keep_frozen_in(adapter, torch.bfloat16)
    if settings.activation_checkpointing:
        module.model.gradient_checkpointing_enable({"use_reentrant": False})
    if isinstance(module, AnswerLogps):
        module.is_padding_free = is_padding_free(module, settings.layout, settings.attention)
    elif settings.layout == "padding-free":
        raise AyaError("layout: padding-free is for models that give log-probabilities; a classifier's rows are padded")
    if settings.attention:
        set_attention(module.model, settings.attention)
    return adapter


def _limits(module: nn.Module, settings: LoopSettings) -> PassLimits:
    if not isinstance(module, AnswerLogps):
        return PassLimits(settings.forward_tokens)
    return PassLimits(settings.forward_tokens, module.cheap_answer_tokens, module.is_padding_free)


def _seed(seed: int, step: int, row: int) -> int:
    """Seed a forward pass by what is passed, whichever device does it."""
    return int(numpy.random.SeedSequence([seed, step, row]).generate_state(1, numpy.uint64)[0])


def _added(shares: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    if len(shares) == 1:
        return shares[0]
    return {name: torch.stack([share[name].detach() for share in shares]).sum(0) for name in shares[0]}
