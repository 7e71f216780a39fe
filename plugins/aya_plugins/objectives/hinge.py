"""SLiC on the margin of DPO."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Hinge(ObjectiveStrategy):
    """Sequence likelihood calibration on DPO's margin: no more force on a pair once its margin is 1.

    Sources: Zhao et al. 2023, SLiC-HF, arXiv 2305.10425, section 2 (the first term of its loss); Liu et al. 2023, arXiv
    2309.06657, its hinge-norm loss.
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Scale of the margin: it is wide enough at 1 / beta nats.")

    def build(self) -> Objective:
        """Make the loss."""
        return partial(hinge_loss, beta=self.beta)


def hinge_loss(pairs: PairLogps, *, beta: float) -> PairLoss:
    """Widen the margin of each pair up to 1 / beta nats.

    With r = beta * (log p_policy - log p_reference), the loss of a pair is max(0, 1 - (r_chosen - r_rejected)). It is 1
    where policy and reference agree.

    "SLiC" names three losses: SLiC-HF takes log-probabilities of the policy alone, with a margin of its own and a
    supervised term; the hinge-norm loss takes them against the reference, as here and in TRL. For the supervised term, set
    `sft_weight` of the trainer.

    beta: > 0, gamma in the second paper.

    Source: arXiv 2309.06657, hinge-norm loss.
    """
    chosen, rejected = implicit_rewards(pairs, beta)
    return pair_loss((1 - (chosen - rejected)).relu(), chosen, rejected)
