"""Provably robust DPO."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Robust(ObjectiveStrategy):
    """Direct preference optimization whose mean over wrongly labeled pairs is that over rightly labeled ones.

    Source: Chowdhury et al. 2024, arXiv 2403.00409, section 3.1.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=0.5, description="The paper's epsilon: share of pairs whose preference is the wrong way round."
    )

    def build(self) -> Objective:
        """Make the loss."""
        return partial(robust_loss, beta=self.beta, label_smoothing=self.label_smoothing)


def robust_loss(pairs: PairLogps, *, beta: float, label_smoothing: float) -> PairLoss:
    """Push as DPO does, with the mean effect of flipped labels taken out.

    With d DPO's margin, l(d) = -log sigmoid(d) and e the share of flipped labels, the loss of a pair is ((1 - e) l(d) - e
    l(-d)) / (1 - 2 e). Where a share e of the pairs is flipped, its mean is that of DPO on the right labels.

    Both it and cDPO (`dpo` with label smoothing) assume flipped labels; cDPO adds the second term, and so has its least at
    a finite margin, while this one subtracts it, has none, and falls below 0 at large margins.

    beta: > 0. label_smoothing: in [0, 0.5); 0 is DPO.

    Source: arXiv 2403.00409, section 3.1.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(pairs, beta)
    d, e = chosen - rejected, label_smoothing
    return pair_loss(((e - 1) * logsigmoid(d) + e * logsigmoid(-d)) / (1 - 2 * e), chosen, rejected)
