"""REINFORCE with a leave-one-out baseline."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, GroupLogps, GroupLoss, GroupObjective, ObjectiveStrategy
from aya_plugins.objectives.groups import clipped_surrogate, compare, divergence, token_mask


class Rloo(ObjectiveStrategy):
    """REINFORCE in which the other samples of a prompt are the baseline of each (leave one out).

    Source: Ahmadian et al. 2024, arXiv 2402.14740, its RLOO estimator.
    """

    imports = ("torch",)
    extra = "train"
    over = "groups"

    beta: float = Field(
        0.05, ge=0, description="Weight of the divergence from the reference, in the reward; 0 needs none."
    )
    clip_low: float = Field(0.2, gt=0, lt=1, description="How far below 1 the ratio to the sampler may fall.")
    clip_high: float = Field(0.2, gt=0, description="How far above 1 the ratio to the sampler may rise.")

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether the reward has a divergence in it."""
        return self.beta > 0

    def build(self) -> GroupObjective:
        """Make the loss."""
        return partial(rloo_loss, beta=self.beta, clip_low=self.clip_low, clip_high=self.clip_high)


def rloo_loss(groups: GroupLogps, *, beta: float, clip_low: float, clip_high: float) -> GroupLoss:
    """Make samples likelier that are better than the others of their group, as whole answers.

    With R = score - beta * (log p_sampler - log p_reference), summed over tokens, the advantage A of a sample is R less the mean
    R of the others of its group. Its loss is -min(w A, clip(w, 1 - clip_low, 1 + clip_high) A), w = p_policy / p_sampler of
    the whole answer. Its gradient where the policy is the sampler is the paper's, -A times that of log p_policy. A
    single sample has no other, and the advantage 0.

    The divergence is in the reward, as in the paper, under the model that drew the samples, and so takes part in the
    baseline. The paper has neither ratio nor clipping: it draws new samples at each step. They are TRL's, for several steps
    on the same samples. `kl` of the result is measured by `divergence`, and not what is in the reward.

    beta: >= 0; the paper uses 0.03 to 0.1. clip_low: in (0, 1). clip_high: > 0.

    Source: arXiv 2402.14740, the RLOO estimator.
    """
    mask = token_mask(groups)
    penalty = ((groups.sampled_logps - groups.reference_logps) * mask).sum(1)
    centered, _, count = compare(groups.scores - beta * penalty, groups.groups)
    advantages = centered * count / (count - 1).clamp(min=1)
    log_ratios = ((groups.logps - groups.sampled_logps) * mask).sum(1)
    losses, is_clipped = clipped_surrogate(log_ratios, advantages, clip_low, clip_high)
    kl = (divergence(groups.logps.detach(), groups.reference_logps) * mask).sum(1)
    return GroupLoss(losses, advantages, kl, is_clipped.float())
