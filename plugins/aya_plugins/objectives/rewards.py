"""What objectives over pairs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aya_core.api import PairLogps, PairLoss

if TYPE_CHECKING:
    from torch import Tensor


def implicit_rewards(pairs: PairLogps, beta: float) -> tuple[Tensor, Tensor]:
    """Give DPO's rewards of the chosen and the rejected answers, r = beta * (log p_policy - log p_reference), in nats.

    Source: Rafailov et al. 2023, arXiv 2305.18290, equation 5, without the term that a pair shares.
    """
    return beta * (pairs.chosen - pairs.reference_chosen), beta * (pairs.rejected - pairs.reference_rejected)


def per_token(pairs: PairLogps, chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
    """Divide a sum over each chosen and rejected answer by the tokens of the answer."""
    return chosen / pairs.chosen_tokens.clamp(min=1), rejected / pairs.rejected_tokens.clamp(min=1)


def pair_loss(losses: Tensor, chosen_rewards: Tensor, rejected_rewards: Tensor) -> PairLoss:
    """Report losses, and rewards without their gradient."""
    return PairLoss(losses, chosen_rewards.detach(), rejected_rewards.detach())
