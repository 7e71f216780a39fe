"""What router training runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aya_core.api import TrainingJob
from aya_plugins.modelling.checkpoint import load_router_model, load_tokenizer, load_unscored
from aya_plugins.modelling.device import choose_device
from aya_plugins.modelling.plain import pad_id_of
from aya_plugins.modelling.prompt_classifier import PromptClassifier, batch_of, classify, plain_encoder
from aya_plugins.modelling.rows import Encoded, Ints
from aya_plugins.trainers.router import RouterTraining
from aya_plugins.trainers.runtime.finish import start_of, write
from aya_plugins.trainers.runtime.lessons import (
    Lessons,
    hold_back,
    read_lessons,
    routing_gain,
    spread,
    strongest,
)
from aya_plugins.trainers.runtime.loop import fit, start_accelerator

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
        accelerator = start_accelerator(settings)
        model = fresh_classifier(start, lessons.teachers, job.seed)
        encoder = plain_encoder(start, model, max_tokens=settings.max_tokens)
        encoded = encoder.prompts([row.prompt for row in lessons.rows])
        held_back, kept = hold_back(lessons, settings.held_back, job.seed)
        if settings.activation_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        module = PromptClassifier(model)
        rewards = torch.from_numpy(lessons.rewards)
        task = RouterTask(encoded, kept, rewards[kept], encoder.pad_id, encoded.lengths[kept], settings.temperature)
        trained = fit(accelerator, module, task, settings, job)
        account = {**lessons.account, "truncated_rows": int(encoded.truncated.sum()), "held_back_rows": len(held_back)}
        measures = write(
            trained,
            module,
            encoder.tokenizer,
            job,
            name="router",
            settings=settings,
            rows=lessons.rows,
            account=account,
        )
        if not trained.is_main:
            return measures
        return {**measures, **gains(job.out, lessons, task, held_back, settings.forward_tokens)}


def fresh_classifier(start: Path, teachers: tuple[str, ...], seed: int) -> Any:
    """Load the start as a classifier whose labels are the teachers, with a head that starts at random."""
    torch.manual_seed(seed)
    pad_id = pad_id_of(load_tokenizer(start), str(start))
    model = load_unscored(start, pad_id, num_labels=len(teachers), otherwise=", such as xlm-roberta, llama or qwen3")
    model.config.id2label = dict(enumerate(teachers))
    model.config.label2id = {name: label for label, name in enumerate(teachers)}
    return model


def gains(
    checkpoint: Path, lessons: Lessons, task: RouterTask, held_back: Ints, batch_tokens: int
) -> Mapping[str, float]:
    """Measure the written checkpoint on prompts held back and trained on; both say who the best single teacher is by
    the latter."""
    model = load_router_model(checkpoint, dtype=torch.float32, device=choose_device("auto"))
    rewards = lessons.rewards
    single = strongest(rewards[task.kept])
    parts = {"held_back": held_back, "training": task.kept[:MOST_MEASURED]}
    measures = {"reward_spread": spread(rewards)}
    for part, rows in parts.items():
        if len(rows):
            logits = classify(model, task.encoded, rows, task.pad_id, batch_tokens=batch_tokens)
            found = routing_gain(logits, rewards[rows], single)
            measures.update({f"{part}/{name}": value for name, value in found.items()})
    return measures


@dataclass(frozen=True)
class RouterTask:
    """The divergence of the router from the rewards' softmax, meaned over the prompts of a step.

    kept: rows of `encoded`; all else is by place in kept. rewards: (kept, teachers), NaN where not scored.
    """

    encoded: Encoded
    kept: Ints
    rewards: Tensor
    pad_id: int
    lengths: Ints
    temperature: float
    name: str = "router"

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows."""
        device = next(module.parameters()).device
        logits = module(*batch_of(self.encoded, self.kept[rows], self.pad_id, device))
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
