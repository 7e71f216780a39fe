"""Group relative policy optimization."""

from __future__ import annotations

from functools import partial
from typing import Literal

from aya_core.api import Field, GroupLogps, GroupLoss, GroupObjective, ObjectiveStrategy
from aya_plugins.objectives.groups import clipped_surrogate, compare, divergence, token_mask

SMALL = 1e-4
"""Added to a deviation before it divides, as in TRL."""


class Grpo(ObjectiveStrategy):
    """Group relative policy optimization: advantages within a group, ratios by token, a divergence in the loss.

    Dr. GRPO is `scale_by_std: false`, `length_normalization: constant`, `beta: 0`; DAPO's clip-higher is `clip_high: 0.28`;
    DeepSeek-V3.2's divergence is `unbiased_kl: true`, which is TRL's default.

    Sources: Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, equations 3 and 4; Liu et al. 2025, Dr. GRPO, arXiv 2503.20783,
    section 3; Yu et al. 2025, DAPO, arXiv 2503.14476, section 3.1; DeepSeek-V3.2, arXiv 2512.02556.
    """

    imports = ("torch",)
    extra = "train"
    over = "groups"

    beta: float = Field(
        0.04, ge=0, description="Weight of the divergence from the reference, in the loss; 0 needs none."
    )
    clip_low: float = Field(0.2, gt=0, lt=1, description="How far below 1 a token's ratio to the sampler may fall.")
    clip_high: float = Field(0.2, gt=0, description="How far above 1 a token's ratio to the sampler may rise.")
    scale_by_std: bool = Field(True, description="Divide advantages by the standard deviation of the group's scores.")
    unbiased_kl: bool = Field(
        False,
        description="Weigh the divergence by the ratio to the sampler, so that its gradient is that of the divergence.",
    )
    length_normalization: Literal["sample", "constant"] = Field(
        "sample", description="What the loss of a sample's tokens is divided by: how many it has, or `constant_tokens`."
    )
    constant_tokens: int = Field(
        256,
        ge=1,
        description="For the length normalization `constant`: the longest answer sampled, sampling.max_tokens.",
    )

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether the loss has a divergence in it."""
        return self.beta > 0

    def build(self) -> GroupObjective:
        """Make the loss."""
        return partial(
            grpo_loss, beta=self.beta, clip_low=self.clip_low, clip_high=self.clip_high, scale_by_std=self.scale_by_std,
            unbiased_kl=self.unbiased_kl,
            constant_tokens=self.constant_tokens if self.length_normalization == "constant" else None,
        )  # fmt: skip


def grpo_loss(
    groups: GroupLogps,
    *,
    beta: float,
    clip_low: float,
    clip_high: float,
    scale_by_std: bool,
    unbiased_kl: bool,
    constant_tokens: int | None,
) -> GroupLoss:
    """Make the tokens of samples likelier that are better than their group, and hold each token near the reference.

    With A = (score - mean of the group's) / (its standard deviation + 0.0001), w = p_policy / p_sampler and k = p_reference /
    p_policy - log(p_reference / p_policy) - 1 of each token, a token's loss is -min(w A, clip(w, 1 - clip_low, 1 + clip_high) A)
    + beta k. The loss of a sample is their mean over its tokens, or their sum over a constant. Scores that are equal in a
    group, and a single one, have the advantage 0.

    The deviation is that of a sample (n - 1), as in TRL; the paper does not say which.

    beta: >= 0; the paper uses 0.04. scale_by_std, constant_tokens: False and the longest answer give Dr. GRPO's loss, which
    favors neither easy prompts nor long wrong answers; None takes the mean over the tokens of each sample. unbiased_kl: k
    becomes w k. The mean of k is the divergence under the policy's own tokens, its gradient is not; that of w k is, also
    under the sampler's.

    Source: arXiv 2402.03300, equations 3 and 4.
    """
    mask = token_mask(groups)
    advantages, deviation, _ = compare(groups.scores, groups.groups)
    if scale_by_std:
        advantages = advantages / (deviation + SMALL)
    losses, is_clipped = clipped_surrogate(
        (groups.logps - groups.sampled_logps) * mask, advantages[:, None], clip_low, clip_high
    )
    kl = divergence(groups.logps, groups.reference_logps)
    if unbiased_kl:
        kl = kl * (groups.logps - groups.sampled_logps).exp()
    if beta:
        losses = losses + beta * kl
    tokens = groups.tokens.clamp(min=1)
    summed = (losses * mask).sum(1)
    return GroupLoss(
        losses=summed / (tokens if constant_tokens is None else constant_tokens),
        advantages=advantages,
        kl=(kl.detach() * mask).sum(1),
        clip_ratio=(is_clipped * mask).sum(1) / tokens,
    )
