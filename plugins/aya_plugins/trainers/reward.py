"""Reward models."""

from __future__ import annotations

from typing import Literal

from aya_core.api import Field, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.chat_settings import ChatSettings
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class RewardTraining(ChatSettings, LoopSettings, TrainerStrategy):
    """Train a reward model on preference pairs (Bradley-Terry).

    The loss of a pair is -log sigmoid(r_chosen - r_rejected - margin) + center * (r_chosen + r_rejected)^2.

    Sources: Ouyang et al. 2022, arXiv 2203.02155, equation 1; the margin: Touvron et al. 2023, arXiv
    2307.09288, equation 2;
    the centring: Eisenstein et al. 2023, arXiv 2312.09244, section 2; the mean log-likelihood as reward: Meng
    et al. 2024 (SimPO), arXiv 2405.14734, equation 4.
    """

    version = 3
    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.reward")
    extra = "train"
    reads = "preferences"

    disable_dropout: bool = Field(
        True,
        description="Train without the dropout that the model's configuration sets; a LoRA's own stays.",
    )
    score: Literal["head", "likelihood"] = Field(
        "head",
        description="What the reward is: a scalar head on the last token (a sequence classifier with one "
        "label), or "
        "beta times the mean log-likelihood of the answer's tokens (the checkpoint stays a causal model).",
    )
    beta: float = Field(1.0, gt=0, description="Scale of the mean log-likelihood; unused by `score: head`.")
    margin: float = Field(0.0, ge=0, description="How much better than the rejected answer the chosen one must score.")
    center: float = Field(0.0, ge=0, description="Weight of the term that keeps rewards near zero; 0.01 is usual.")

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.reward import BradleyTerry, RewardTrainer

        return RewardTrainer(self, BradleyTerry(self.score, self.beta, self.margin, self.center))
