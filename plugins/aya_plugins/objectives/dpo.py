"""Direct preference optimization."""

from __future__ import annotations

from functools import partial

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Dpo(ObjectiveStrategy):
    """Direct preference optimization, with label smoothing for noisy preferences (cDPO).

    Sources: Rafailov et al. 2023, arXiv 2305.18290, equation 7; Mitchell 2023, "A note on DPO with noisy
    preferences and relationship to IPO".
    """

    imports = ("torch",)
    extra = "train"

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Assumed share of pairs whose preference is the wrong way round."
    )

    def build(self) -> Objective:
        """Make the loss."""
        return partial(dpo_loss, beta=self.beta, label_smoothing=self.label_smoothing)


def dpo_loss(pairs: PairLogps, *, beta: float, label_smoothing: float = 0.0) -> PairLoss:
    """Push the policy towards each chosen answer and away from its rejected one.

    With r = beta * (log p_policy - log p_reference) and d = r_chosen - r_rejected, the loss of a pair is -(1
    - e) log sigmoid(d) - e log sigmoid(-d), e being the label smoothing. It is log 2 when policy and
    reference agree.

    beta: > 0; the paper uses 0.1 to 0.5. label_smoothing: 0 is plain DPO; above 0 the loss is smallest at a
    finite d.

    Source: arXiv 2305.18290, equation 7; with e > 0 Mitchell 2023.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(pairs, beta)
    d = chosen - rejected
    losses = -(1 - label_smoothing) * logsigmoid(d)
    if label_smoothing:
        losses = losses - label_smoothing * logsigmoid(-d)
    return pair_loss(losses, chosen, rejected)
