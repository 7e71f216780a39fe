"""Efficient exact optimization, of pairs."""

from __future__ import annotations

from functools import partial
from math import log, log1p

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Exo(ObjectiveStrategy):
    """Efficient exact optimization: the reverse divergence between the policy's preference and the labels'.

    Source: Ji et al. 2024, arXiv 2402.00856, equation 16.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")
    label_smoothing: float = Field(
        1e-3,
        gt=0,
        lt=0.5,
        description="The paper's epsilon: how sure the labels are not; above 0, for it is divided by.",
    )

    def build(self) -> Objective:
        """Make the loss."""
        return partial(exo_loss, beta=self.beta, label_smoothing=self.label_smoothing)


def exo_loss(pairs: PairLogps, *, beta: float, label_smoothing: float) -> PairLoss:
    """Bring the policy's preference within each pair to that of the labels, by the divergence that seeks a mode.

    With d DPO's margin, q = sigmoid(d) and e the label smoothing, the loss of a pair is q log(q / (1 - e)) + (1 - q) log((1 -
    q) / e). It is 0 at d = log((1 - e) / e), and flat far below: a pair that is very wrong gets little force.

    This is EXO-pref for two answers (exo-pair, TRL's `exo_pair`). The paper's form for more answers, and that for rewards, are
    other losses.

    beta: > 0. label_smoothing: in (0, 0.5); the paper uses 0.001.

    Source: arXiv 2402.00856, equation 16.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(pairs, beta)
    d = chosen - rejected
    losses = d.sigmoid() * (logsigmoid(d) - log1p(-label_smoothing)) + (-d).sigmoid() * (
        logsigmoid(-d) - log(label_smoothing)
    )
    return pair_loss(losses, chosen, rejected)
