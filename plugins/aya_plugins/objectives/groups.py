"""What objectives over groups are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aya_core.api import GroupLogps

if TYPE_CHECKING:
    from torch import Tensor


def token_mask(groups: GroupLogps) -> Tensor:
    """Say which places hold a token, (samples, width)."""
    import torch

    return torch.arange(groups.logps.shape[1], device=groups.tokens.device) < groups.tokens[:, None]


def compare(scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compare each score with its group's: give its distance from their mean, their standard deviation and their number.

    Each is (samples,). Distances in a group of equal scores are 0 to the bit. The deviation is that of a sample (n - 1), and 0
    for a single one. Sums run along rows, since adding by index would add in any order on a GPU.
    """
    same = groups[:, None] == groups[None, :]  # (samples, samples)
    count = same.sum(1)
    first = scores[same.int().argmax(1)]  # taken off before summing, so that equal scores do not round apart
    rest = same * (scores - first)
    centered = scores - first - rest.sum(1) / count
    deviation = ((same * centered**2).sum(1) / (count - 1).clamp(min=1)).sqrt()
    return centered, deviation, count


def clipped_surrogate(log_ratios: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Give -min(ratio * advantage, clip(ratio, 1 - low, 1 + high) * advantage), and where clipping stops the gradient.

    Source: Schulman et al. 2017, arXiv 1707.06347, equation 7; two bounds: Yu et al. 2025, DAPO, arXiv 2503.14476.
    """
    import torch

    ratios = log_ratios.exp()
    losses = -torch.min(ratios * advantages, ratios.clamp(1 - low, 1 + high) * advantages)
    is_clipped = ((ratios < 1 - low) & (advantages < 0)) | ((ratios > 1 + high) & (advantages > 0))
    return losses, is_clipped


def divergence(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Estimate the divergence of the policy from the reference at each token, in nats.

    It is never below 0, and its mean is the divergence where the policy drew the tokens.

    Source: Schulman 2020, "Approximating KL divergence", the estimator k3; Shao et al. 2024, arXiv 2402.03300, equation 4.
    """
    log_ratios = reference_logps - logps
    return log_ratios.exp() - log_ratios - 1
