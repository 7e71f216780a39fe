"""What router training runs: verdicts made into lessons, the loss on them, and what routing by them gains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from aya_core.api import DataError, Judged, Prompt, TrainingJob, read_rows
from aya_plugins.modeling.checkpoint import load_model, load_router_model, load_tokenizer, load_unscored
from aya_plugins.modeling.plain import PlainEncoder, pad_id_of
from aya_plugins.modeling.prompt_classifier import PromptClassifier, batch_of, classify, plain_encoder
from aya_plugins.modeling.rows import Encoded, Ints
from aya_plugins.modeling.settings import CheckpointSettings
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.out_of_memory import told_what_to_lower
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.training import Tasks, make_tasks, run, split

MOST_MEASURED = 2000
"""Trained prompts that the final measures look at."""


@dataclass(frozen=True)
class RouterTrainer:
    """See the strategy `router`."""

    settings: LoopSettings
    prompts: Path
    temperature: float

    @told_what_to_lower("router")
    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows`, which are verdicts, from `job.start`."""
        settings = self.settings
        start = start_of(job, "router")
        lessons = read_lessons(job.rows, self.prompts)
        others: Sequence[Lesson] = ()
        if job.validation is not None:
            others = read_lessons(job.validation, self.prompts, lessons.teachers).rows
        accelerator = start_accelerator(settings)
        new: list[str] = []
        model = fresh_classifier(start, lessons.teachers, job.seed, new)
        encoder = plain_encoder(start, model, max_tokens=settings.max_tokens)

        def make(rows: Sequence[Lesson], where: Path) -> RouterTask:
            return RouterTask.of(encoder, rows, lessons.account, self.temperature)

        tasks = make_tasks(job, split(job, lessons.rows, others, settings), make)
        measures = run(accelerator, job, settings, tasks, PromptClassifier(model), encoder.tokenizer)
        if not accelerator.is_main_process:
            return measures
        told = {"new_head_tensors": len(new)} if new else {}
        return {**measures, **told, **gains(job.out, tasks, settings.forward_tokens)}


def fresh_classifier(start: Path, teachers: tuple[str, ...], seed: int, new: list[str]) -> Any:
    """Load the start as a classifier whose labels are the teachers, with a head that starts at random.

    new: is filled with the tensors of that head.
    """
    torch.manual_seed(seed)
    pad_id = pad_id_of(load_tokenizer(start), str(start))
    model = load_unscored(
        start, pad_id, num_labels=len(teachers), otherwise=", such as xlm-roberta, llama or qwen3", tell=new.extend
    )
    model.config.id2label = dict(enumerate(teachers))
    model.config.label2id = {name: label for label, name in enumerate(teachers)}
    return model


def gains(checkpoint: Path, tasks: Tasks[RouterTask], batch_tokens: int) -> Mapping[str, float]:
    """Measure the written checkpoint on prompts held out and trained on; both say who the best single teacher is by
    the latter."""
    model = load_model(CheckpointSettings(model=str(checkpoint), dtype="float32"), load_router_model)
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
    logps = logits.masked_fill(is_missing, -torch.inf).log_softmax(-1)
    return (target.exp() * (target - logps).masked_fill(is_missing, 0)).sum(-1)


Rewards = NDArray[numpy.float32]
"""(prompts, teachers): the mean score of a teacher's answers to a prompt, NaN where none was scored."""


@dataclass(frozen=True)
class Lesson:
    """A prompt and the rewards of the teachers, NaN for one without a scored answer."""

    prompt: Prompt
    rewards: tuple[float, ...]


@dataclass(frozen=True)
class Lessons:
    """Prompts on which two teachers or more were scored. account: how many prompts were left out, and why."""

    teachers: tuple[str, ...]
    rows: Sequence[Lesson]
    account: Mapping[str, float]


def read_lessons(verdicts: Path, prompts: Path, teachers: Sequence[str] | None = None) -> Lessons:
    """Bring verdicts and prompts together, in the order of the prompts; teachers are in the order of their names.

    A teacher that no lesson compares with another is not among them. teachers: the only ones that are looked at, and their
    order. Raises DataError where there is nothing to learn:
    fewer than two teachers, or no prompt that compares any.
    """
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    judged = set()
    for row in read_rows(verdicts, Judged):
        judged.add(row.completion.prompt_id)
        if row.verdict.score is not None and (teachers is None or row.completion.teacher in teachers):
            scores[row.completion.prompt_id][row.completion.teacher].append(row.verdict.score)
    scored = sorted({teacher for by_teacher in scores.values() for teacher in by_teacher})
    if len(scored) < 2:
        raise DataError(
            f"{verdicts}: the verdicts score the answers of {' and '.join(scored) or 'nobody'} only; a router learns "
            "from two teachers or more, so take verdicts of a stage with `router: {use: all}`"
        )
    known = [prompt for prompt in read_rows(prompts, Prompt) if prompt.id in judged]
    compared = [prompt for prompt in known if len(scores.get(prompt.id, ())) > 1]
    if not compared:
        raise DataError(
            f"{verdicts}: no prompt of {prompts} has scored answers of two teachers ({len(judged)} prompts were judged, "
            f"{len(known)} of them are there); expected the prompts of these verdicts, such as `arbitrage.prompts` for "
            "`arbitrage.verdicts`"
        )
    seen = {teacher for prompt in compared for teacher in scores[prompt.id]}
    named = tuple(sorted(seen)) if teachers is None else tuple(teachers)
    rows = [
        Lesson(prompt, tuple(fmean(scores[prompt.id].get(name, [math.nan])) for name in named)) for prompt in compared
    ]
    dropped = {"dropped_rows": len(known) - len(rows), "unknown_prompts": len(judged) - len(known)}
    return Lessons(named, rows, dropped)


def rewards_of(rows: Sequence[Lesson]) -> Rewards:
    """The rewards of lessons, one under the other."""
    return numpy.array([row.rewards for row in rows], dtype=numpy.float32)


def strongest(rewards: Rewards) -> int:
    """Name the column of the teacher that gains most over the mean of each prompt, where it was scored.

    Gains and not rewards are averaged, for not every teacher is asked in every language.
    """
    gains = rewards - numpy.nanmean(rewards, axis=1, keepdims=True)
    times = (~numpy.isnan(rewards)).sum(axis=0)
    return int(numpy.where(times > 0, numpy.nansum(gains, axis=0) / numpy.maximum(times, 1), -numpy.inf).argmax())


def spread(rewards: Rewards) -> float:
    """Give the mean over prompts of the standard deviation of the rewards on it."""
    return float(numpy.nanstd(rewards, axis=1).mean())


def routing_gain(logits: Rewards, rewards: Rewards, single: int) -> Mapping[str, float]:
    """Say what a prompt's answer is worth on average if the router, the lot, one teacher or an oracle chooses.

    Only teachers scored on a prompt can be chosen for it; where the single teacher was not, the lot decides.
    """
    is_scored = ~numpy.isnan(rewards)
    chosen = numpy.where(is_scored, logits, -numpy.inf).argmax(axis=1)
    routed = rewards[numpy.arange(len(rewards)), chosen]
    random, best = numpy.nanmean(rewards, axis=1), numpy.nanmax(rewards, axis=1)
    alone = numpy.where(is_scored[:, single], rewards[:, single], random)
    columns = {"routed": routed, "random": random, "single": alone, "oracle": best, "accuracy": routed == best}
    return {"n": len(rewards), **{name: float(column.mean()) for name, column in columns.items()}}
