"""Anchored preference optimization, at zero."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class ApoZero(ObjectiveStrategy):
    """Anchored preference optimization: chosen answers become likelier, rejected ones unlikelier, each by itself.

    For chosen answers that are better than the model's own. Source: D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 7.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(apo_zero_loss, beta=self.beta)


def apo_zero_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Raise the reward of each chosen answer above 0 and sink that of its rejected one below.

    With r = beta * (log p_policy - log p_reference), the loss of a pair is 1 - sigmoid(r_chosen) + sigmoid(r_rejected); the 1,
    which the paper has not, keeps it above 0, as in TRL. It is 1 where policy and reference agree.

    beta: > 0; the paper uses 0.1.

    Source: arXiv 2408.06266, equation 7.
    """
    chosen, rejected = implicit_rewards(pairs, beta)
    return pair_loss(1 - chosen.sigmoid() + rejected.sigmoid(), chosen, rejected)
