"""The definition of weighted_sum, in plain torch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def reference_weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float], out_dtype: torch.dtype) -> Tensor:
    """Define the weighted sum: widen every tensor to float32, add the products in the order given, round
    once.

    Arithmetic is float64 where any tensor or out_dtype is float64. Memory: float32 copies of the tensors'
    size.
    """
    wide = sum_dtype(tensors, out_dtype)
    total = torch.zeros_like(tensors[0], dtype=wide)
    for tensor, weight in zip(tensors, weights, strict=True):
        total = total + tensor.to(wide) * weight
    return total.to(out_dtype)


def sum_dtype(tensors: Sequence[Tensor], out_dtype: torch.dtype) -> torch.dtype:
    """Give the dtype that the sum is accumulated in."""
    dtypes = {out_dtype, *(tensor.dtype for tensor in tensors)}
    return torch.float64 if torch.float64 in dtypes else torch.float32
