"""What preference training runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from aya_core.api import (
    AyaError,
    Objective,
    PairLogps,
    Preference,
    Prompt,
    SingleObjective,
    TokenizedRow,
    TrainingJob,
    read_rows,
)
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import Ints
from aya_plugins.modeling.scoring import row_sums
from aya_plugins.modeling.vocabulary import check_same_tokens, check_vocabulary
from aya_plugins.trainers.runtime.chat import begin_chat, check_reference, encoder_of, say_template, template_account
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.out_of_memory import told_what_to_lower
from aya_plugins.trainers.runtime.pairs import EncodedPairs, reward_measures
from aya_plugins.trainers.runtime.reference import Reference, no_reference, reference_logps
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.showing import show_pairs
from aya_plugins.trainers.runtime.singles import EncodedSingles, SinglesTask
from aya_plugins.trainers.runtime.training import make_tasks, read_parts, run


@dataclass(frozen=True)
class PreferenceTrainer:
    """See the strategy `preference`."""

    settings: LoopSettings
    sft_weight: float

    @told_what_to_lower("preference")
    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`, against `job.reference` or else the start."""
        start = start_of(job, "preference")
        if job.objective is None:
            raise AyaError("trainer 'preference' needs an objective; set `objective:` of the stage, such as {use: dpo}")
        encoder = encoder_of(start, self.settings, job.work)
        say_template(encoder)
        accelerator = start_accelerator(self.settings)

        parts = read_parts(job, Preference, self.settings)
        takes_apart = isinstance(job.objective, SingleObjective) and not all(row.is_pair for row in parts.rows)
        if takes_apart and self.sft_weight:
            raise AyaError(
                f"{job.rows}: `sft_weight` is for pairs, and some rows hold one answer and a label; set it to 0"
            )

        def make(rows: Sequence[Preference], where: Path) -> PreferenceTask | SinglesTask:
            if takes_apart:
                singles = EncodedSingles.of(encoder, rows, where, "preference")
                check_vocabulary(start, encoder.tokenizer, singles.encoded, singles.pad_id, encoder.given)
                reference = self._reference(job, singles, encoder.tokenizer, accelerator)
                return SinglesTask(singles, cast(SingleObjective, job.objective), reference)
            pairs = EncodedPairs.of(encoder, rows, where, "preference")
            check_vocabulary(start, encoder.tokenizer, pairs.encoded, pairs.pad_id, encoder.given)
            reference = self._reference(job, pairs, encoder.tokenizer, accelerator)
            return PreferenceTask(pairs, cast(Objective, job.objective), reference, self.sft_weight)

        check_reference(encoder, job)
        tasks = make_tasks(job, parts, make)
        model = load_causal_lm(start, dtype=torch.float32)
        begin_chat(model, encoder, self.settings)
        module = AnswerLogps(model)
        measures = run(accelerator, job, self.settings, tasks, module, encoder.tokenizer)
        return {**measures, **template_account(encoder)}

    def _reference(
        self, job: TrainingJob, pairs: EncodedPairs | EncodedSingles, tokenizer: Any, accelerator: Any
    ) -> Reference:
        """Look up what the reference says of pairs, where the objective asks for it."""
        if not job.needs_reference:
            return no_reference(pairs.encoded)
        start = start_of(job, "preference")
        where = job.reference or start
        if where != start:
            check_vocabulary(where, tokenizer, pairs.encoded, pairs.pad_id)
            check_same_tokens(where, tokenizer, pairs.encoded)
        return reference_logps(job, where, pairs.encoded, pairs.pad_id, accelerator, self.settings, by_token=False)

    def show(self, job: TrainingJob) -> Iterator[TokenizedRow]:
        """Show both answers of each pair."""
        encoder = encoder_of(start_of(job, "preference"), self.settings)
        return show_pairs(encoder, read_rows(job.rows, Preference))


@dataclass(frozen=True)
class PreferenceTask:
    """The mean of an objective's losses over the pairs of a step, and the supervised term.

    reference: of the rows of the pairs. sft_weight: of the mean negative log-likelihood of the chosen
    answers' tokens.
    """

    pairs: EncodedPairs
    objective: Objective
    reference: Reference
    sft_weight: float = 0.0
    name: str = "preference"

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.pairs.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`."""
        return self.pairs.answer_tokens

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
        chosen, rejected = row_sums(module(self.pairs.batch(rows, device))).chunk(2)
        places = self.pairs.rows_of(rows)
        known = torch.from_numpy(self.reference.sums(places)).to(device).chunk(2)
        tokens = torch.from_numpy(self.pairs.encoded.answer_tokens_of(places)).to(device).chunk(2)
        found = self.objective(PairLogps(chosen, rejected, known[0], known[1], tokens[0], tokens[1]))
        sums = {
            "loss": found.losses,
            **reward_measures(found.chosen_rewards, found.rejected_rewards),
            "logps/chosen": chosen.detach(),
            "logps/rejected": rejected.detach(),
        }
        shares = {name: values.sum() / len(step_rows) for name, values in sums.items()}
        if self.sft_weight:
            chosen_tokens = self.pairs.encoded.answer_tokens_of(2 * step_rows).sum()
            shares["nll_loss"] = -chosen.sum() / int(chosen_tokens)
            shares["loss"] = shares["loss"] + self.sft_weight * shares["nll_loss"]
            shares["nll_loss"] = shares["nll_loss"].detach()
        return shares
