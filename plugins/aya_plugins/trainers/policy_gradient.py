"""Policy gradients over groups of scored samples."""

from __future__ import annotations

from aya_core.api import Field, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class PolicyGradient(LoopSettings, TrainerStrategy):
    """Train on groups, the scored samples of each prompt, with an objective over groups such as rloo or grpo.

    The samples are taken to be drawn from the start at temperature 1: its log-probabilities are the sampler's. Those of sampler
    and reference are computed once, then both are freed. All samples of a prompt go through the policy in one forward
    pass. A group that cannot teach anything is left out and counted: one sample, equal scores, or a prompt that fills
    `max_tokens`. The mean is over all samples of a step, whatever the number of devices and forward passes.
    """

    version = 2
    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.policy_gradient")
    extra = "train"
    reads = "groups"
    needs_objective = True
    objective_over = "groups"

    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    disable_dropout: bool = Field(
        True,
        description="Train without the dropout that the model's configuration sets, so that an untrained policy equals its "
        "sampler; a LoRA's own stays.",
    )
    batch_rows: int = Field(
        64, ge=1, description="Groups of one optimizer step, each a prompt with all its samples, over all devices."
    )

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.policy_gradient import PolicyGradientTrainer

        return PolicyGradientTrainer(self)
