"""What supervised fine-tuning runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from aya_core.api import Demonstration, Prompt, TokenizedRow, TrainingJob, read_rows
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import Encoded, Ints, collate
from aya_plugins.modeling.vocabulary import check_vocabulary
from aya_plugins.trainers.runtime import dropping
from aya_plugins.trainers.runtime.chat import begin_chat, demonstrated, encoder_of, say_template, template_account
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.out_of_memory import told_what_to_lower
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.showing import show_demonstrations
from aya_plugins.trainers.runtime.stored_rows import Seen, of_all
from aya_plugins.trainers.runtime.training import make_tasks, read_parts, run


@dataclass(frozen=True)
class SftTrainer:
    """See the strategy `sft`."""

    settings: LoopSettings
    learns_all: bool = False

    @told_what_to_lower("sft")
    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`."""
        start = start_of(job, "sft")
        encoder = encoder_of(start, self.settings, job.work)
        say_template(encoder)
        parts = read_parts(job, Demonstration, self.settings)
        tasks = make_tasks(job, parts, lambda rows, where: SftTask.of(encoder, rows, where, learns_all=self.learns_all))
        accelerator = start_accelerator(self.settings)
        model = load_causal_lm(start, dtype=torch.float32)
        begin_chat(model, encoder, self.settings)
        module = AnswerLogps(model)
        measures = run(accelerator, job, self.settings, tasks, module, encoder.tokenizer)
        return {**measures, **template_account(encoder)}

    def show(self, job: TrainingJob) -> Iterator[TokenizedRow]:
        """Show each demonstration."""
        encoder = encoder_of(start_of(job, "sft"), self.settings)
        return show_demonstrations(encoder, read_rows(job.rows, Demonstration), learns_all=self.learns_all)


@dataclass(frozen=True)
class SftTask:
    """Mean negative log-likelihood over the answer tokens of a step.

    kept: rows of `encoded`; all else is by place in kept.
    """

    encoded: Encoded
    kept: Ints
    pad_id: int
    prompts: Sequence[Prompt]
    counts: Mapping[str, float]
    name: str = "sft"

    @classmethod
    def of(
        cls, encoder: ChatEncoder, rows: Sequence[Demonstration], where: Path, *, learns_all: bool = False
    ) -> SftTask:
        """Encode rows. Raises DataError when none has an answer left after truncation."""
        encoded = encoder.answers(demonstrated(rows), learns_all=learns_all, refuses=True)
        reasons = dropping.why_not_rows(encoded)
        kept = dropping.kept(reasons, where, "sft")
        check_vocabulary(encoder.where, encoder.tokenizer, encoded, encoder.pad_id, encoder.given)
        counts = dropping.account(reasons, encoded.truncated, unended=encoded.unended, unlike=encoded.unlike)
        return cls(encoded, kept, encoder.pad_id, Seen(of_all(rows, kept), lambda row: [row.prompt]), counts)

    @cached_property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.encoded.lengths_of(self.kept).astype(numpy.int32)

    @cached_property
    def answer_tokens(self) -> Ints:
        """See `Task`."""
        return self.encoded.answer_tokens_of(self.kept).astype(numpy.int32)

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return self.counts

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows."""
        batch = collate(self.encoded, self.kept[rows], self.pad_id, next(module.parameters()).device)
        return {"loss": -module(batch).sum() / int(self.answer_tokens[step_rows].sum())}
