"""Anchored preference optimization, downwards."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class ApoDown(ObjectiveStrategy):
    """Anchored preference optimization: both answers become unlikelier, the rejected one more so.

    For chosen answers that are worse than the model's own. Source: D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 8.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(apo_down_loss, beta=self.beta)


def apo_down_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Sink the reward of each chosen answer below 0, and that of its rejected one further.

    With r = beta * (log p_policy - log p_reference), the loss of a pair is sigmoid(r_chosen) + 1 - sigmoid(r_chosen -
    r_rejected); the 1, which the paper has not, keeps it above 0, as in TRL. It is 1 where policy and reference agree. Where
    they do, the chosen answer gets no force at all; it sinks once its margin is won.

    beta: > 0; the paper uses 0.1.

    Source: arXiv 2408.06266, equation 8.
    """
    chosen, rejected = implicit_rewards(pairs, beta)
    return pair_loss(chosen.sigmoid() + 1 - (chosen - rejected).sigmoid(), chosen, rejected)
