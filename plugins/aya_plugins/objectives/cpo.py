"""Contrastive preference optimization."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import pair_loss, per_token


class Cpo(ObjectiveStrategy):
    """Contrastive preference optimization: DPO with a uniform reference, and fine-tuning on the chosen answers.

    Source: Xu et al. 2024, arXiv 2401.08417, section 3, equation 3 and the likelihood term added to it.
    """

    imports = ("torch",)
    extra = "train"
    needs_reference = False

    beta: float = Field(0.1, gt=0, description="Scale of the margin.")
    nll_weight: float = Field(1.0, ge=0, description="Weight of the chosen answer's mean negative log-likelihood.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(cpo_loss, beta=self.beta, nll_weight=self.nll_weight)


def cpo_loss(pairs: PairLogps, *, beta: float, nll_weight: float) -> PairLoss:
    """Learn each chosen answer, and make it likelier than its rejected one.

    With r = beta * log p_policy, the loss of a pair is -log sigmoid(r_chosen - r_rejected) - nll_weight * (mean over
    tokens of log p_policy of the chosen answer).

    The paper writes the likelihood as a sum over the answer; its code and TRL take the mean over all chosen tokens of a
    batch, so that long answers weigh more. Here it is a mean per pair; all three weigh alike where answers are equally long.

    beta: > 0; the paper uses 0.1. nll_weight: >= 0; the paper's is 1, `cpo_alpha` in TRL.

    Source: arXiv 2401.08417, section 3.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = beta * pairs.chosen, beta * pairs.rejected
    mean, _ = per_token(pairs, pairs.chosen, pairs.rejected)
    return pair_loss(-logsigmoid(chosen - rejected) - nll_weight * mean, chosen, rejected)
