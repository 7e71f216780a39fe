"""The definition of merge_task_vectors, in plain torch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aya_kernels.draws import draws
from aya_kernels.merge_task_vectors.keep import ALL_WORDS, Keep, words_kept


def reference_merge_task_vectors(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    keep: Sequence[Keep],
    elect: str | None,
    normalize: bool,
    lambda_: float,
) -> Tensor:
    """Define the merge. Products and sums are float32 and rounded one by one, in the order of the tensors."""
    weights = weights_that_count(weights, elect, normalize)
    taus = [trimmed(tensor - base, rule) for tensor, rule in zip(tensors, keep, strict=True)]
    weighted = [tau * weight for tau, weight in zip(taus, weights, strict=True)]
    if elect is None:
        return base + in_order(weighted) * factor_of_sum(weights, normalize, lambda_)
    votes = weighted if elect == "weighted" else taus
    elected = torch.where(in_order(votes) >= 0, 1.0, -1.0)
    agrees = [(vote * elected > 0).float() for vote in votes]
    total = in_order([value * agree for value, agree in zip(weighted, agrees, strict=True)])
    if normalize:
        divisor = in_order([agree * weight for agree, weight in zip(agrees, weights, strict=True)])
        total = total / torch.where(divisor == 0, 1.0, divisor)
    return base + total * lambda_


def weights_that_count(weights: Sequence[float], elect: str | None, normalize: bool) -> Sequence[float]:
    """Take equal weights above 0, which cancel in a normalized election, as 1."""
    cancel = elect is not None and normalize and weights[0] > 0 and len(set(weights)) == 1
    return [1.0] * len(weights) if cancel else weights


def trimmed(tau: Tensor, rule: Keep) -> Tensor:
    """Set the values that a rule does not keep to 0, and scale the others."""
    return tau * keep_mask(tau, rule) * rule.scale


def keep_mask(tau: Tensor, rule: Keep) -> Tensor:
    """Give a rule's zeros and ones, times its mask."""
    magnitude = tau.abs()
    kept = (magnitude >= rule.low) & (magnitude <= rule.high)
    if rule.low_ties is not None:
        kept &= ~(rank_among(magnitude == rule.low) > rule.low_ties)
    if rule.high_ties is not None:
        at_high = rank_among(magnitude == rule.high)
        kept &= ~((at_high > 0) & (at_high <= rule.high_ties))
    if words_kept(rule) < ALL_WORDS:
        words = draws(rule.key, rule.start, tau.numel(), device=tau.device).view(tau.shape)
        kept &= words < words_kept(rule)
    return kept.float() if rule.mask is None else kept * rule.mask


def rank_among(chosen: Tensor) -> Tensor:
    """Number the chosen values 1, 2, ... in flat order; 0 for the others."""
    return (chosen.reshape(-1).cumsum(0) * chosen.reshape(-1)).view(chosen.shape)


def factor_of_sum(weights: Sequence[float], normalize: bool, lambda_: float) -> float:
    """What the sum of all weighted task vectors is multiplied with."""
    divisor = sum(weights) if normalize else 1.0
    return lambda_ / (1.0 if abs(divisor) < 1e-8 else divisor)


def in_order(values: Sequence[Tensor]) -> Tensor:
    """Add, first to last."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
