"""Preference training with any objective over pairs."""

from __future__ import annotations

from aya_core.api import Field, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.chat_settings import ChatSettings
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class PreferenceTraining(ChatSettings, LoopSettings, TrainerStrategy):
    """Train on preference pairs with the objective of the stage, against a frozen reference.

    The reference's log-probabilities are computed once, then it is freed. Chosen and rejected answers go through the policy
    in one forward pass.

    Source of the supervised term: Pang et al. 2024, arXiv 2404.19733, equation 1; here the mean is over all chosen tokens of a
    step.
    """

    version = 3
    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.preference")
    extra = "train"
    reads = "preferences"
    needs_objective = True

    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    disable_dropout: bool = Field(
        True,
        description="Train without the dropout that the model's configuration sets, so that an untrained policy equals its "
        "reference; a LoRA's own stays.",
    )
    sft_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of a supervised term: the mean negative log-likelihood of the chosen answers' tokens.",
    )

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.preference import PreferenceTrainer

        return PreferenceTrainer(self, self.sft_weight)
