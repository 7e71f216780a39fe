"""What supervised fine-tuning runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aya_core.api import Demonstration, TrainingJob, read_rows
from aya_plugins.modelling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modelling.head import AnswerLogps
from aya_plugins.modelling.rows import Encoded, Ints, collate
from aya_plugins.trainers.runtime.finish import start_of, trainable, write
from aya_plugins.trainers.runtime.loop import fit, start_accelerator
from aya_plugins.trainers.sft import Sft


@dataclass(frozen=True)
class SftTrainer:
    """See `Sft`."""

    settings: Sft

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`."""
        start = start_of(job, "sft")
        rows = list(read_rows(job.rows, Demonstration))
        encoder = load_encoder(start, max_tokens=self.settings.max_tokens)
        encoded = encoder.answers([(row.prompt, row.completion) for row in rows])
        kept = trainable(encoded, job.rows, "sft")
        accelerator = start_accelerator(self.settings)
        model = load_causal_lm(start, dtype=torch.float32)
        if self.settings.activation_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        module = AnswerLogps(model)
        task = SftTask(encoded, kept, encoder.pad_id, encoded.lengths[kept], encoded.answer_tokens[kept])
        trained = fit(accelerator, module, task, self.settings, job)
        account = {"truncated_rows": int(encoded.truncated.sum()), "dropped_rows": len(rows) - len(kept)}
        return write(
            trained,
            module,
            encoder.tokenizer,
            job,
            name="sft",
            settings=self.settings,
            rows=rows,
            account=account,
        )


@dataclass(frozen=True)
class SftTask:
    """Mean negative log-likelihood over the answer tokens of a step.

    kept: rows of `encoded`; all else is by place in kept.
    """

    encoded: Encoded
    kept: Ints
    pad_id: int
    lengths: Ints
    answer_tokens: Ints
    name: str = "sft"

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows."""
        batch = collate(self.encoded, self.kept[rows], self.pad_id, next(module.parameters()).device)
        return {"loss": -module(batch).sum() / int(self.answer_tokens[step_rows].sum())}
