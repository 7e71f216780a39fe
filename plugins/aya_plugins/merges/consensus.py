"""What TIES and DARE-TIES share: elect a sign for each parameter, then average the changes that agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aya_core.api import AyaError
from aya_plugins.merges.sums import pieces

if TYPE_CHECKING:
    from torch import Tensor


def task_vectors(name: str, tensors: Sequence[Tensor], base: Tensor | None) -> list[Tensor]:
    """Subtract the base from each model: new tensors, float32. name: the merge that asks, for its message."""
    if base is None:
        raise AyaError(f"merge '{name}' works on differences from a base model; name it with `base:`")
    return [tensor - base for tensor in tensors]


def merge_task_vectors(
    base: Tensor, vectors: Sequence[Tensor], weights: Sequence[float],
    *, weigh_election: bool, normalize: bool, lambda_: float,
) -> Tensor:  # fmt: skip
    """Add the disjoint mean of sparse task vectors to the base.

    For each parameter, gamma = sign(sum_i w_i tau_i), and A = the models with sign(w_i tau_i) = gamma. The
    result is theta_base + lambda * sum_{i in A} w_i tau_i / sum_{i in A} w_i. A sum of exactly zero elects
    plus, as in mergekit. A parameter that nobody changes stays the base's.

    weigh_election: false takes every w_i in the first sentence as 1. normalize: false leaves the division
    out.

    Source: Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708, algorithm 1, steps 2 and 3, where all w_i are
    1.
    """
    import torch

    result = torch.empty_like(base, memory_format=torch.contiguous_format)
    flat_base, flat_result = base.reshape(-1), result.view(-1)
    flats = [vector.reshape(-1) for vector in vectors]
    for piece in pieces(flat_base.numel()):
        # Products and sums are separate operations: torch fuses them only where a vector loop fits, so that
        # the last bit would depend on the number of threads.
        weighted = [flat[piece] * weight for flat, weight in zip(flats, weights, strict=True)]
        votes = weighted if weigh_election else [flat[piece] for flat in flats]
        elects_plus = _total(votes) >= 0
        total, divisor = torch.zeros_like(weighted[0]), torch.zeros_like(weighted[0])
        for value, vote, weight in zip(weighted, votes, weights, strict=True):
            agrees = torch.where(elects_plus, vote > 0, vote < 0)
            total += value * agrees
            divisor += agrees * weight
        if normalize:
            total /= divisor.masked_fill_(divisor == 0, 1.0)
        if lambda_ != 1:
            total *= lambda_
        flat_result[piece] = flat_base[piece] + total
    return result


def _total(values: Sequence[Tensor]) -> Tensor:
    total = values[0].clone()
    for value in values[1:]:
        total += value
    return total
