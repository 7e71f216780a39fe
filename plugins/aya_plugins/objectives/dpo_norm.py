"""Length-normalized direct preference optimization."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss, per_token


class DpoNorm(ObjectiveStrategy):
    """Direct preference optimization on log-ratios per token, so that long answers have no greater rewards.

    Source: Lambert et al. 2024, Tulu 3, arXiv 2411.15124, section 5, length-normalized DPO.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(5.0, gt=0, description="Strength of the pull back to the reference, per nat and token.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(dpo_norm_loss, beta=self.beta)


def dpo_norm_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Push the policy towards each chosen answer and away from its rejected one, by means over their tokens.

    With r = beta / tokens * (log p_policy - log p_reference), the loss of a pair is -log sigmoid(r_chosen - r_rejected).

    This is `dpo_norm` of open-instruct and `sigmoid_norm` of TRL. "Length-normalized" also names other things: R-DPO (Park et al.
    2024, arXiv 2403.19159) subtracts a multiple of the difference of lengths from DPO's margin, and LD-DPO (Liu et al.
    2024, arXiv 2409.06411) weighs down what the longer answer has more. Rewards here are those of the loss; TRL logs DPO's
    sums.

    beta: > 0; the paper uses 5. It multiplies a mean and not a sum, so values of DPO are too small here.

    Source: arXiv 2411.15124, section 5.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = per_token(pairs, *implicit_rewards(pairs, beta))
    return pair_loss(-logsigmoid(chosen - rejected), chosen, rejected)
