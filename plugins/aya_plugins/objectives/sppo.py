"""Self-play preference optimization, with hard labels."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Sppo(ObjectiveStrategy):
    """Self-play preference optimization with hard labels: a regression of each answer's log-ratio on who won.

    Source: Wu et al. 2024, arXiv 2405.00675, equation 4.7 with probabilities 1 and 0.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(
        1e-3, gt=0, description="Inverse of the paper's eta: log-ratios aimed at are 1 / (2 beta) nats, up and down."
    )

    def build(self) -> Objective:
        """Make the loss."""
        return partial(sppo_loss, beta=self.beta)


def sppo_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Draw the log-ratio of each chosen answer to 1 / (2 beta), and that of its rejected one to -1 / (2 beta).

    With h = log p_policy - log p_reference, summed over tokens, the loss of a pair is (h_chosen - 1 / (2 beta))^2 + (h_rejected
    + 1 / (2 beta))^2. Rewards are beta * h.

    The paper regresses on estimated probabilities of winning; with 1 and 0 for them this is the form known as `sppo_hard`.
    It aims at hundreds of nats, and its losses are of their square: the gradient's clipping sets the size of steps.

    beta: 1 / eta, > 0; the paper uses an eta of 1,000.

    Source: arXiv 2405.00675, equation 4.7.
    """
    aim = 0.5 / beta
    chosen, rejected = implicit_rewards(pairs, 1.0)
    return pair_loss((chosen - aim) ** 2 + (rejected + aim) ** 2, beta * chosen, beta * rejected)
