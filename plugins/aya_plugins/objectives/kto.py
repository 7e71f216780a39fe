"""Kahneman-Tversky optimization, of pairs or of single answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aya_core.api import Field, Objective, ObjectiveStrategy, PairLogps, PairLoss, SingleLogps, SingleLoss
from aya_plugins.objectives.rewards import implicit_rewards, pair_loss


class Kto(ObjectiveStrategy):
    """Kahneman-Tversky optimization: each answer is judged against a reference point, not against another answer.

    It learns from pairs, and from unpaired rows: a prompt, a completion and a label that says whether it is good. Where some rows are
    unpaired, pairs are taken apart into a good answer and a bad one.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, equation 7; for pairs in the form of the authors' first release.
    """

    imports = ("torch",)
    extra = "train"

    later_settings: ClassVar[frozenset[str]] = frozenset({"desirable_weight", "undesirable_weight"})

    beta: float = Field(0.1, gt=0, description="Strength of the pull back to the reference.")
    desirable_weight: float = Field(1.0, ge=0, description="Weight of good answers, of unpaired rows.")
    undesirable_weight: float = Field(1.0, ge=0, description="Weight of bad answers, of unpaired rows.")

    def build(self) -> Objective:
        """Make the loss."""
        return KtoObjective(self.beta, self.desirable_weight, self.undesirable_weight)


@dataclass(frozen=True)
class KtoObjective:
    """The loss over pairs, and over single answers."""

    beta: float
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __call__(self, pairs: PairLogps) -> PairLoss:
        """See `kto_loss`."""
        return kto_loss(pairs, beta=self.beta)

    def singles(self, answers: SingleLogps) -> SingleLoss:
        """See `kto_loss_of_singles`."""
        return kto_loss_of_singles(
            answers, beta=self.beta, desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight
        )


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


def kto_loss_of_singles(
    answers: SingleLogps, *, beta: float, desirable_weight: float, undesirable_weight: float
) -> SingleLoss:
    """Raise good answers above the point z where policy and reference agree on average, and sink bad ones below.

    With r = beta * (log p_policy - log p_reference) and z = max(0, mean of r over the answers at hand) without gradient, the loss of a
    good answer is desirable_weight * (1 - sigmoid(r - z)), that of a bad one undesirable_weight * (1 - sigmoid(z - r)). It is half the
    weight where policy and reference agree.

    The paper, and TRL, estimate z on mismatched prompts and answers, at the price of another forward pass; this one takes the answers
    themselves, those of one forward pass on one device, as `kto_loss` does.

    The paper advises weights by which good and bad answers count between 1 : 1 and 4 : 3 in all, whichever are more.

    Source: arXiv 2402.01306, equations 7 and 8.
    """
    rewards = beta * (answers.logps - answers.reference)
    point = rewards.detach().mean().clamp(min=0)
    good = desirable_weight * (1 - (rewards - point).sigmoid())
    bad = undesirable_weight * (1 - (point - rewards).sigmoid())
    return SingleLoss(good.where(answers.is_good, bad), rewards.detach())
