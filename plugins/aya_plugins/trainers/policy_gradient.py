"""Policy gradients over groups of scored samples."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from aya_core.api import Field, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.chat_settings import ChatSettings
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings


class PolicyGradient(ChatSettings, LoopSettings, TrainerStrategy):
    """Train on groups, the scored samples of each prompt, with an objective over groups such as rloo or grpo.

    The samples are taken to be drawn from the start at temperature 1: its log-probabilities are the sampler's. Those of sampler
    and reference are computed once, then both are freed. All samples of a prompt go through the policy in one forward
    pass. A group that cannot teach anything is left out and counted: one sample, equal scores, or a prompt that fills
    `max_tokens`. The mean is over all samples of a step, whatever the number of devices and forward passes.

    A sample that was cut at the longest length has no end of turn, and `overlong` says what else becomes of it.

    Source of `overlong`: Yu et al. 2025, DAPO, arXiv 2503.14476, section 3.4 (overlong filtering, and a penalty on the score); `mask` is
    TRL's mask_truncated_completions, which is understood, too.
    """

    version = 3
    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.policy_gradient")
    extra = "train"
    reads = "groups"
    needs_objective = True
    objective_over = "groups"
    later_settings: ClassVar[frozenset[str]] = frozenset({"overlong", "overlong_penalty"})

    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    disable_dropout: bool = Field(
        True,
        description="Train without the dropout that the model's configuration sets, so that an untrained policy equals its "
        "sampler; a LoRA's own stays.",
    )
    batch_rows: int = Field(
        64, ge=1, description="Groups of one optimizer step, each a prompt with all its samples, over all devices."
    )

    overlong: Literal["keep", "mask", "drop", "punish"] = Field(
        "keep",
        description="Samples that were cut at the longest length. keep: learned as others are, without an end; mask: they count in the "
        "mean of their group and not in the loss; drop: they count in neither; punish: `overlong_penalty` is taken off their scores.",
    )
    overlong_penalty: float = Field(1.0, gt=0, description="What `overlong: punish` takes off, in units of the scores.")

    @model_validator(mode="before")
    @classmethod
    def _knows_the_name_in_trl(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "mask_truncated_completions" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "mask_truncated_completions"}
        masks = values["mask_truncated_completions"]
        if not isinstance(masks, bool) or "overlong" in rest:
            raise ValueError(
                "mask_truncated_completions is true or false, and `overlong: mask` says the same; give one of them"
            )
        return {**rest, "overlong": "mask" if masks else "keep"}

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.policy_gradient import Overlong, PolicyGradientTrainer

        return PolicyGradientTrainer(self, Overlong(self.overlong, self.overlong_penalty))
