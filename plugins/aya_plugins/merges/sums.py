"""Sums over a whole tensor that are the same for any number of threads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 1 << 18
"""Values worked on at a time: a megabyte of float32, small enough that scratch stays in cache."""

_ROW = 4096


def pieces(length: int) -> Iterator[slice]:
    """Cut a flat tensor at fixed places."""
    for start in range(0, length, PIECE):
        yield slice(start, min(start + PIECE, length))


def ordered_sum(factors: Sequence[Tensor]) -> float:
    """Sum the product of tensors of one shape, in float64.

    torch cuts a full reduction by its number of threads, which moves the last bits. Here threads share rows
    of 4,096 values and none is cut; the sums of the rows are added exactly.
    """
    import torch

    flats = [factor.reshape(-1) for factor in factors]
    sums: list[float] = []
    for piece in pieces(flats[0].numel()):
        product = flats[0][piece].to(torch.float64)
        for flat in flats[1:]:
            product = product * flat[piece].to(torch.float64)
        whole = product.numel() // _ROW * _ROW
        sums += product[:whole].view(-1, _ROW).sum(dim=1).tolist()
        sums.append(float(product[whole:].sum()))
    return math.fsum(sums)
