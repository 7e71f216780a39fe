"""What policy gradient training runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy
import torch
from torch import Tensor

from aya_core.api import AyaError, Demonstration, GroupLogps, GroupObjective, Prompt, ShownRow, TrainingJob, read_rows
from aya_plugins.modelling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modelling.head import AnswerLogps
from aya_plugins.modelling.rows import Ints, collate
from aya_plugins.modelling.vocabulary import check_same_tokens, check_vocabulary
from aya_plugins.trainers.policy_gradient import PolicyGradient
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.groups import EncodedGroups
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.reference import Reference, reference_logps
from aya_plugins.trainers.runtime.showing import show_demonstrations
from aya_plugins.trainers.runtime.training import make_tasks, read_parts, run


@dataclass(frozen=True)
class PolicyGradientTrainer:
    """See `PolicyGradient`."""

    settings: PolicyGradient

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`, which drew the samples, against `job.reference` or else the start."""
        start = start_of(job, "policy-gradient")
        if job.objective is None:
            raise AyaError(
                "trainer 'policy-gradient' needs an objective; set `objective:` of the stage, such as {use: rloo}"
            )
        encoder = load_encoder(start, max_tokens=self.settings.max_tokens)
        accelerator = start_accelerator(self.settings)

        def score(groups: EncodedGroups, where: Path) -> Reference:
            check_vocabulary(where, encoder.tokenizer, groups.encoded, groups.pad_id)
            if where != start:
                check_same_tokens(where, encoder.tokenizer, groups.encoded)
            rows = groups.rows_of(numpy.arange(len(groups.firsts)))
            return reference_logps(job, where, groups.encoded, groups.pad_id, accelerator, self.settings, rows=rows)

        def make(rows: Sequence[Demonstration], where: Path) -> PolicyGradientTask:
            groups = EncodedGroups.of(encoder, rows, where, "policy-gradient")
            sampled = reference = score(groups, start)
            if job.needs_reference and job.reference not in (None, start):
                reference = score(groups, job.reference)
            return PolicyGradientTask(groups, cast(GroupObjective, job.objective), sampled, reference)

        tasks = make_tasks(job, read_parts(job, Demonstration, self.settings), make)
        module = AnswerLogps(load_causal_lm(start, dtype=torch.float32))
        return run(accelerator, job, self.settings, tasks, module, encoder.tokenizer)

    def show(self, job: TrainingJob) -> Iterator[ShownRow]:
        """Show the samples of each prompt."""
        encoder = load_encoder(start_of(job, "policy-gradient"), max_tokens=self.settings.max_tokens)
        return show_demonstrations(encoder, read_rows(job.rows, Demonstration))


@dataclass(frozen=True)
class PolicyGradientTask:
    """The mean of an objective's losses over the samples of a step. A row of it is a group.

    sampled, reference: log-probabilities of all samples under the model that drew them, and under the reference.
    """

    groups: EncodedGroups
    objective: GroupObjective
    sampled: Reference
    reference: Reference
    name: str = "policy-gradient"

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return self.groups.account

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.groups.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`."""
        return self.groups.answer_tokens

    @property
    def prompts(self) -> Sequence[Prompt]:
        """See `Task`."""
        return self.groups.prompts

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some groups."""
        groups, device = self.groups, next(module.parameters()).device
        places, step_places = groups.rows_of(rows), groups.rows_of(step_rows)
        logps = module(collate(groups.encoded, places, groups.pad_id, device))
        tokens = torch.from_numpy(groups.encoded.answer_tokens[places]).to(device)
        scores = torch.from_numpy(groups.scores[places]).to(device)
        said = self.objective(
            GroupLogps(
                logps=logps,
                sampled_logps=torch.from_numpy(self.sampled.tokens(places)).to(device),
                reference_logps=torch.from_numpy(self.reference.tokens(places)).to(device),
                tokens=tokens,
                scores=scores,
                groups=torch.from_numpy(numpy.repeat(numpy.arange(len(rows)), groups.sizes[rows])).to(device),
            )
        )
        deviation = groups.scores[step_places].std(ddof=1)  # of the whole step: each pass reports its share of it
        sums = {
            "loss": said.losses,
            "reward": scores,
            "reward_std": torch.full_like(scores, float(deviation)),
            "advantages/abs_mean": said.advantages.abs(),
            "completions/mean_length": tokens.float(),
        }
        if said.clip_ratio is not None:
            sums["clip_ratio/region_mean"] = said.clip_ratio
        shares = {name: values.sum() / len(step_places) for name, values in sums.items()}
        shares["kl"] = said.kl.sum() / int(groups.encoded.answer_tokens[step_places].sum())
        return shares
