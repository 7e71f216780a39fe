"""Simple preference optimization."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import pair_loss, per_token


class Simpo(ObjectiveStrategy):
    """Simple preference optimization: mean log-probability as the reward, a margin to be reached, no reference.

    Source: Meng et al. 2024, arXiv 2405.14734, equation 6.
    """

    imports = ("torch",)
    extra = "train"
    needs_reference = False

    beta: float = Field(2.0, gt=0, description="Scale of the reward; the paper uses 2 to 10.")
    gamma: float = Field(1.0, ge=0, description="Margin of rewards aimed at; the paper uses 0.3 to 1.6 at a beta of 2.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(simpo_loss, beta=self.beta, gamma=self.gamma)


def simpo_loss(pairs: PairLogps, *, beta: float, gamma: float) -> PairLoss:
    """Raise the mean log-probability of each chosen answer above that of its rejected one, by a margin.

    With r = beta / tokens * log p_policy, the loss of a pair is -log sigmoid(r_chosen - r_rejected - gamma).

    gamma is a difference of rewards, as in the paper; the authors' code takes gamma / beta instead. Nothing holds the
    policy near the start but a small learning rate. TRL runs it as CPO with `loss_type="simpo"`, which keeps the
    supervised term of CPO unless `cpo_alpha=0`; here that is `sft_weight` of the trainer.

    beta: > 0. gamma: >= 0.

    Source: arXiv 2405.14734, equation 6.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = per_token(pairs, beta * pairs.chosen, beta * pairs.rejected)
    return pair_loss(-logsigmoid(chosen - rejected - gamma), chosen, rejected)
