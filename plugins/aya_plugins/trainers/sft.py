"""Supervised fine-tuning."""

from __future__ import annotations

from aya_core.api import Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class Sft(LoopSettings, TrainerStrategy):
    """Supervised fine-tuning: the mean negative log-likelihood of the answers' tokens, prompts masked.

    The mean is over all answer tokens of a step, whatever the number of devices and forward passes.
    """

    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.sft")
    extra = "train"
    reads = "demonstrations"

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.sft import SftTrainer

        return SftTrainer(self)
