"""The definition of gram, in plain torch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def reference_gram(tensors: Sequence[Tensor], base: Tensor | None) -> Tensor:
    """Define the inner products: subtract in float32, multiply and add in float64."""
    vectors = [(tensor if base is None else tensor - base).reshape(-1).double() for tensor in tensors]
    return torch.stack([torch.stack([(x * y).sum() for y in vectors]) for x in vectors])
