"""Kahneman-Tversky optimization, of pairs."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Kto(ObjectiveStrategy):
    """Kahneman-Tversky optimization of pairs: each answer is judged against a reference point, not against the other.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, equation 7, in the paired form of the authors' first release.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(kto_loss, beta=self.beta)


def kto_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Raise chosen answers above the point z where policy and reference agree on average, and sink rejected ones below.

    With r = beta * (log p_policy - log p_reference) and z(r) = max(0, mean of r over the pairs at hand) without gradient,
    the loss of a pair is the mean of 1 - sigmoid(r_chosen - z(r_rejected)) and 1 - sigmoid(z(r_chosen) - r_rejected). It is
    1/2 where policy and reference agree.

    The paper estimates z, the divergence from the reference, on mismatched prompts and answers; so does TRL, at the price of
    another forward pass. The paired form takes the other half of the pairs: rejected answers for chosen ones, and the other
    way round. The paper's weights of the halves are 1, for there are as many of each. The pairs at hand are those of one
    forward pass on one device: alone of all objectives this one gives other results for other `forward_tokens` or another
    number of devices.

    beta: > 0; the paper uses 0.1.

    Source: arXiv 2402.01306, equation 7.
    """
    chosen, rejected = implicit_rewards(pairs, beta)
    from_chosen, from_rejected = (rewards.detach().mean().clamp(min=0) for rewards in (chosen, rejected))
    losses = 1 - ((chosen - from_rejected).sigmoid() + (from_chosen - rejected).sigmoid()) / 2
    return pair_loss(losses, chosen, rejected)
