"""What reward training runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from aya_core.api import Preference, Prompt, TokenizedRow, TrainingJob, read_rows
from aya_plugins.modeling.checkpoint import load_causal_lm, load_unscored
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import Batch, Ints
from aya_plugins.modeling.vocabulary import check_vocabulary
from aya_plugins.trainers.runtime.chat import begin_chat, encoder_of, say_template, template_account
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.out_of_memory import told_what_to_lower
from aya_plugins.trainers.runtime.pairs import EncodedPairs, reward_measures
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.showing import show_pairs
from aya_plugins.trainers.runtime.training import make_tasks, read_parts, run


@dataclass(frozen=True)
class BradleyTerry:
    """What a reward is, and what a pair of rewards costs: the settings of the strategy `reward`, by their names there."""

    score: Literal["head", "likelihood"]
    beta: float
    margin: float
    center: float


@dataclass(frozen=True)
class RewardTrainer:
    """See the strategy `reward`."""

    settings: LoopSettings
    objective: BradleyTerry

    @told_what_to_lower("reward")
    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`."""
        settings = self.settings
        start = start_of(job, "reward")
        encoder = encoder_of(start, settings, job.work)
        say_template(encoder)

        def make(rows: Sequence[Preference], where: Path) -> RewardTask:
            pairs = EncodedPairs.of(encoder, rows, where, "reward", is_whole=self.objective.score == "head")
            check_vocabulary(start, encoder.tokenizer, pairs.encoded, pairs.pad_id, encoder.given)
            return RewardTask(pairs, self.objective)

        tasks = make_tasks(job, read_parts(job, Preference, settings), make)
        accelerator = start_accelerator(settings)
        new: list[str] = []
        module = self._module(start, job.seed, encoder.pad_id, new)
        begin_chat(module.model, encoder, settings)
        measures = {**run(accelerator, job, settings, tasks, module, encoder.tokenizer), **template_account(encoder)}
        return {**measures, "new_head_tensors": len(new)} if new else measures

    def show(self, job: TrainingJob) -> Iterator[TokenizedRow]:
        """Show both answers of each pair; a scalar head learns from no token's log-probability, so none is marked."""
        encoder = encoder_of(start_of(job, "reward"), self.settings)
        has_head = self.objective.score == "head"
        return show_pairs(encoder, read_rows(job.rows, Preference), is_whole=has_head, is_learned=not has_head)

    def _module(self, start: Any, seed: int, pad_id: int, new: list[str]) -> Any:
        """Load what is trained. new: is filled with the tensors of the head that start at random."""
        if self.objective.score == "likelihood":
            return AnswerLogps(load_causal_lm(start, dtype=torch.float32))
        torch.manual_seed(seed)  # the head starts at random
        return ScalarHead(load_unscored(start, pad_id, tell=new.extend))


class ScalarHead(nn.Module):
    """Wraps a sequence classifier with one label to give a reward for each row."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Give the rewards, float32 (rows,). The model itself finds the last token that is no padding."""
        scores: Tensor = self.model(input_ids=batch.input_ids, use_cache=False).logits
        return scores.squeeze(-1).float()


@dataclass(frozen=True)
class RewardTask:
    """The Bradley-Terry loss, meaned over the pairs of a step."""

    pairs: EncodedPairs
    objective: BradleyTerry
    name: str = "reward"

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.pairs.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`: a scalar head is none over the vocabulary."""
        tokens = self.pairs.answer_tokens
        return tokens if self.objective.score == "likelihood" else numpy.zeros_like(tokens)

    @property
    def prompts(self) -> Sequence[Prompt]:
        """See `Task`."""
        return self.pairs.prompts

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return self.pairs.account()

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some pairs."""
        device = next(module.parameters()).device
        rewards = module(self.pairs.batch(rows, device))
        if self.objective.score == "likelihood":
            tokens = self.pairs.encoded.answer_tokens_of(self.pairs.rows_of(rows))
            rewards = self.objective.beta * rewards.sum(1) / torch.from_numpy(tokens).to(device)
        chosen, rejected = rewards.chunk(2)
        sums = {
            "loss": bradley_terry_loss(chosen, rejected, margin=self.objective.margin, center=self.objective.center),
            **reward_measures(chosen.detach(), rejected.detach()),
        }
        return {name: values.sum() / len(step_rows) for name, values in sums.items()}


def bradley_terry_loss(chosen: Tensor, rejected: Tensor, *, margin: float, center: float) -> Tensor:
    """Give -log sigmoid(r_chosen - r_rejected - margin) + center * (r_chosen + r_rejected)^2 for each pair.

    Sources: Ouyang et al. 2022, arXiv 2203.02155, equation 1; margin: Touvron et al. 2023, arXiv 2307.09288,
    equation 2;
    center: Eisenstein et al. 2023, arXiv 2312.09244.
    """
    losses = -logsigmoid(chosen - rejected - margin)
    return losses + center * (chosen + rejected) ** 2 if center else losses
