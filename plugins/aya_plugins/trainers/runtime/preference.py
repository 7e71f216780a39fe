"""What preference training runs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from aya_core.api import AyaError, Objective, PairLogps, Preference, TrainingJob, read_rows
from aya_plugins.modelling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modelling.head import AnswerLogps
from aya_plugins.modelling.rows import Ints
from aya_plugins.modelling.scoring import Sums, answer_logps
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.finish import start_of, write
from aya_plugins.trainers.runtime.loop import fit, start_accelerator
from aya_plugins.trainers.runtime.pairs import EncodedPairs


@dataclass(frozen=True)
class PreferenceTrainer:
    """See `PreferenceTraining`."""

    settings: PreferenceTraining

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`, against `job.reference` or else the start."""
        start = start_of(job, "preference")
        if job.objective is None:
            raise AyaError("trainer 'preference' needs an objective; set `objective:` of the stage, such as {use: dpo}")
        rows = list(read_rows(job.rows, Preference))
        encoder = load_encoder(start, max_tokens=self.settings.max_tokens)
        pairs = EncodedPairs.of(encoder, rows, job.rows, "preference")
        accelerator = start_accelerator(self.settings)
        reference = self._reference_logps(job, job.reference or start, pairs, accelerator)
        model = load_causal_lm(start, dtype=torch.float32)
        if self.settings.activation_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        module = AnswerLogps(model)
        task = PreferenceTask(pairs, pairs.lengths, job.objective, reference, self.settings.sft_weight)
        trained = fit(accelerator, module, task, self.settings, job)
        return write(
            trained, module, encoder.tokenizer, job, name="preference", settings=self.settings, rows=rows,
            account=pairs.account(),
        )  # fmt: skip

    def _reference_logps(self, job: TrainingJob, where: Path, pairs: EncodedPairs, accelerator: Any) -> Sums:
        """Score all answers under the reference, from where a killed run left off."""
        save = job.work / f"reference-{accelerator.process_index}-of-{accelerator.num_processes}.npy"
        # float32 weights under the autocast of training, so that an untrained policy equals its reference.
        module = AnswerLogps(load_causal_lm(where, dtype=torch.float32, device=accelerator.device))
        last = time.monotonic()

        def after_batch(sums: Sums) -> None:
            nonlocal last
            if time.monotonic() - last >= self.settings.checkpoint_seconds:
                _save_array(save, sums)
                last = time.monotonic()

        with accelerator.autocast():
            sums = answer_logps(
                module, pairs.encoded, pairs.pad_id, batch_tokens=self.settings.forward_tokens,
                share=(accelerator.process_index, accelerator.num_processes),
                known=numpy.load(save) if save.is_file() else None, after_batch=after_batch,
            )  # fmt: skip
        _save_array(save, sums)
        shares = accelerator.gather(torch.from_numpy(sums).to(accelerator.device)[None])  # (processes, rows)
        merged: Sums = shares.sum(0).cpu().numpy()
        return merged


@dataclass(frozen=True)
class PreferenceTask:
    """The mean of an objective's losses over the pairs of a step, and the supervised term.

    reference: log-probabilities of all rows of the pairs. sft_weight: of the mean negative log-likelihood of the chosen
    answers' tokens.
    """

    pairs: EncodedPairs
    lengths: Ints
    objective: Objective
    reference: Sums
    sft_weight: float = 0.0
    name: str = "preference"

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some pairs."""
        device = next(module.parameters()).device
        chosen, rejected = module(self.pairs.batch(rows, device)).chunk(2)
        places = self.pairs.rows_of(rows)
        known = torch.from_numpy(self.reference[places]).to(device).chunk(2)
        tokens = torch.from_numpy(self.pairs.encoded.answer_tokens[places]).to(device).chunk(2)
        said = self.objective(PairLogps(chosen, rejected, known[0], known[1], tokens[0], tokens[1]))
        good, bad = said.chosen_rewards, said.rejected_rewards
        sums = {
            "loss": said.losses,
            "rewards/chosen": good,
            "rewards/rejected": bad,
            "rewards/margins": good - bad,
            "rewards/accuracies": (good > bad).float(),
            "logps/chosen": chosen.detach(),
            "logps/rejected": rejected.detach(),
        }
        shares = {name: values.sum() / len(step_rows) for name, values in sums.items()}
        if self.sft_weight:
            chosen_tokens = self.pairs.encoded.answer_tokens[2 * self.pairs.kept[step_rows]].sum()
            shares["nll_loss"] = -chosen.sum() / int(chosen_tokens)
            shares["loss"] = shares["loss"] + self.sft_weight * shares["nll_loss"]
            shares["nll_loss"] = shares["nll_loss"].detach()
        return shares


def _save_array(path: Path, array: Sums) -> None:
    partial = path.with_suffix(".partial.npy")
    numpy.save(partial, array)
    os.replace(partial, path)
