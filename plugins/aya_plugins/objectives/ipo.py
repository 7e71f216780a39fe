"""Identity preference optimization."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss, per_token


class Ipo(ObjectiveStrategy):
    """Identity preference optimization: a regression that, unlike DPO, cannot drive a margin to infinity.

    Source: Azar et al. 2023, arXiv 2310.12036, equation 17.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(
        0.1, gt=0, description="The paper's tau: the margin aimed at is 1 / (2 beta), in nats per token."
    )

    def build(self) -> Objective:
        """Make the loss."""
        return partial(ipo_loss, beta=self.beta)


def ipo_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Draw the margin of each pair towards 1 / (2 beta).

    With h = mean over tokens of (log p_policy - log p_reference), the loss of a pair is (h_chosen -
    h_rejected - 1 / (2 beta))^2.

    The paper writes h without the mean; with sums over tokens the loss would grow with the length of answers.
    TRL takes the mean too, and reports that the paper's results were made so. Rewards are beta times the
    sums, as in DPO.

    beta: the paper's tau, > 0.

    Source: arXiv 2310.12036, equation 17.
    """
    chosen, rejected = implicit_rewards(pairs, 1.0)
    h_chosen, h_rejected = per_token(pairs, chosen, rejected)
    return pair_loss((h_chosen - h_rejected - 1 / (2 * beta)) ** 2, beta * chosen, beta * rejected)
