"""Odds ratio preference optimization."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import pair_loss, per_token

if TYPE_CHECKING:
    from torch import Tensor


NEARLY_SURE = -1.2e-7
"""Nats: the highest mean log-probability whose odds are finite in float32."""


class Orpo(ObjectiveStrategy):
    """Odds ratio preference optimization: fine-tuning on the chosen answers, and an odds ratio against the rejected ones.

    Source: Hong et al. 2024, arXiv 2403.07691, equations 6 and 7.
    """

    imports = ("torch",)
    extra = "train"
    needs_reference = False

    beta: float = Field(0.1, ge=0, description="The paper's lambda: weight of the odds ratio.")
    nll_weight: float = Field(1.0, ge=0, description="Weight of the chosen answer's mean negative log-likelihood.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(orpo_loss, beta=self.beta, nll_weight=self.nll_weight)


def orpo_loss(pairs: PairLogps, *, beta: float, nll_weight: float) -> PairLoss:
    """Learn each chosen answer, and make its odds higher than those of its rejected one.

    With m = mean over tokens of log p_policy, odds = exp(m) / (1 - exp(m)), the loss of a pair is -nll_weight * m_chosen -
    beta * log sigmoid(log odds_chosen - log odds_rejected). Rewards are beta * m, as in TRL.

    The likelihood here is a mean per pair over the tokens of the chosen answer. TRL's is a mean over all tokens of the
    batch, so that long answers weigh more, and takes the tokens of the prompts in. The two agree where chosen answers are
    equally long and prompts have no token to predict.

    beta: lambda of the paper, 0.1 there, >= 0. nll_weight: >= 0; the paper's is 1.

    Source: arXiv 2403.07691, equations 3 to 7.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = per_token(pairs, pairs.chosen, pairs.rejected)
    losses = -beta * logsigmoid(_log_odds(chosen) - _log_odds(rejected)) - nll_weight * chosen
    return pair_loss(losses, beta * chosen, beta * rejected)


def _log_odds(logps: Tensor) -> Tensor:
    """Give log(p / (1 - p)). A p that rounds to 1 would have infinite odds and no gradient that is a number."""
    logps = logps.clamp(max=NEARLY_SURE)
    return logps - (-logps.expm1()).log()
