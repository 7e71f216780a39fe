"""What router training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from aya_core.api import Prompt, TrainingJob
from aya_plugins.modelling.checkpoint import load_router_model, load_tokenizer, load_unscored
from aya_plugins.modelling.device import choose_device
from aya_plugins.modelling.plain import PlainEncoder, pad_id_of
from aya_plugins.modelling.prompt_classifier import PromptClassifier, batch_of, classify, plain_encoder
from aya_plugins.modelling.rows import Encoded, Ints
from aya_plugins.trainers.router import RouterTraining
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.lessons import (
    Lesson,
    read_lessons,
    rewards_of,
    routing_gain,
    spread,
    strongest,
)
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.parts import split
from aya_plugins.trainers.runtime.training import Tasks, make_tasks, run

MOST_MEASURED = 2000
"""Trained prompts that the final measures look at."""


@dataclass(frozen=True)
class RouterTrainer:
    """See `RouterTraining`."""

    settings: RouterTraining

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows`, which are verdicts, from `job.start`."""
        settings = self.settings
        start = start_of(job, "router")
        lessons = read_lessons(job.rows, Path(settings.prompts))
        others: Sequence[Lesson] = ()
        if job.validation is not None:
            others = read_lessons(job.validation, Path(settings.prompts), lessons.teachers).rows
        accelerator = start_accelerator(settings)
        model = fresh_classifier(start, lessons.teachers, job.seed)
        encoder = plain_encoder(start, model, max_tokens=settings.max_tokens)

        def make(rows: Sequence[Lesson], where: Path) -> RouterTask:
            return RouterTask.of(encoder, rows, lessons.account, settings.temperature)

        tasks = make_tasks(job, split(job, lessons.rows, others, settings), make)
        measures = run(accelerator, job, settings, tasks, PromptClassifier(model), encoder.tokenizer)
        if not accelerator.is_main_process:
            return measures
        return {**measures, **gains(job.out, tasks, settings.forward_tokens)}


def fresh_classifier(start: Path, teachers: tuple[str, ...], seed: int) -> Any:
    """Load the start as a classifier whose labels are the teachers, with a head that starts at random."""
    torch.manual_seed(seed)
    pad_id = pad_id_of(load_tokenizer(start), str(start))
    model = load_unscored(start, pad_id, num_labels=len(teachers), otherwise=", such as xlm-roberta, llama or qwen3")
    model.config.id2label = dict(enumerate(teachers))
    model.config.label2id = {name: label for label, name in enumerate(teachers)}
    return model


def gains(checkpoint: Path, tasks: Tasks[RouterTask], batch_tokens: int) -> Mapping[str, float]:
    """Measure the written checkpoint on prompts held out and trained on; both say who the best single teacher is by
    the latter."""
    model = load_router_model(checkpoint, dtype=torch.float32, device=choose_device("auto"))
    single = strongest(tasks.training.rewards.numpy())
    measures = {"reward_spread": spread(tasks.training.rewards.numpy())}
    for part, task in {"validation": tasks.validation, "training": tasks.training}.items():
        if task is not None:
            rows = numpy.arange(len(task.prompts))[: MOST_MEASURED if part == "training" else None]
            logits = classify(model, task.encoded, rows, task.pad_id, batch_tokens=batch_tokens)
            found = routing_gain(logits, task.rewards.numpy()[rows], single)
            measures.update({f"{part}/{name}": value for name, value in found.items()})
    return measures


@dataclass(frozen=True)
class RouterTask:
    """The divergence of the router from the rewards' softmax, meaned over the prompts of a step.

    rewards: (prompts, teachers), NaN where not scored. left_out: verdicts and prompts of which no lesson was made.
    """

    encoded: Encoded
    rewards: Tensor
    pad_id: int
    temperature: float
    prompts: Sequence[Prompt]
    left_out: Mapping[str, float]
    name: str = "router"

    @classmethod
    def of(
        cls, encoder: PlainEncoder, rows: Sequence[Lesson], left_out: Mapping[str, float], temperature: float
    ) -> RouterTask:
        """Encode the prompts of lessons."""
        prompts = [row.prompt for row in rows]
        rewards = torch.from_numpy(rewards_of(rows))
        return cls(encoder.prompts(prompts), rewards, encoder.pad_id, temperature, prompts, left_out)

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.encoded.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`: a router has no head over the vocabulary."""
        return numpy.zeros_like(self.lengths)

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return {**self.left_out, "truncated_rows": int(self.encoded.truncated.sum())}

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows."""
        device = next(module.parameters()).device
        logits = module(*batch_of(self.encoded, rows, self.pad_id, device))
        rewards = self.rewards[rows].to(device)
        chosen = logits.detach().masked_fill(rewards.isnan(), -torch.inf).argmax(-1, keepdim=True)
        best = rewards.nan_to_num(-torch.inf).max(-1).values
        regret = best - rewards.gather(-1, chosen).squeeze(-1)
        sums = {
            "loss": routing_loss(logits, rewards, temperature=self.temperature),
            "accuracy": (regret == 0).float(),
            "regret": regret,
        }
        return {name: values.sum() / len(step_rows) for name, values in sums.items()}


def routing_loss(logits: Tensor, rewards: Tensor, *, temperature: float) -> Tensor:
    """Give KL(softmax(rewards / temperature) || softmax(logits)) of each prompt, in nats.

    rewards: (prompts, teachers), NaN for teachers that were not scored: both distributions are over the others.

    Source: Lu et al. 2023 (Zooter), arXiv 2311.08692; there the temperature is 1 and no reward is missing.
    """
    is_missing = rewards.isnan()
    target = (rewards / temperature).masked_fill(is_missing, -torch.inf).log_softmax(-1)
    said = logits.masked_fill(is_missing, -torch.inf).log_softmax(-1)
    return (target.exp() * (target - said).masked_fill(is_missing, 0)).sum(-1)
