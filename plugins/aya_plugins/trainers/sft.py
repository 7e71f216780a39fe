"""Supervised fine-tuning."""

from __future__ import annotations

from typing import ClassVar, Literal

from aya_core.api import Field, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.chat_settings import ChatSettings
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class Sft(ChatSettings, LoopSettings, TrainerStrategy):
    """Supervised fine-tuning: the mean negative log-likelihood of the answers' tokens, prompts masked.

    The mean is over all answer tokens of a step, whatever the number of devices and forward passes.
    """

    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.sft")
    extra = "train"
    reads = "demonstrations"
    version = 3
    later_settings: ClassVar[frozenset[str]] = frozenset({"assistant_turns"})

    assistant_turns: Literal["last", "all"] = Field(
        "last",
        description="Which turns of a conversation are learned: the last answer, or all that the assistant says.",
    )

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.sft import SftTrainer

        return SftTrainer(self, learns_all=self.assistant_turns == "all")
