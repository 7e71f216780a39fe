"""Checks that the ops on float32 tensors share."""

from collections.abc import Iterable

import torch
from torch import Tensor


def check_float32(op: str, named: Iterable[tuple[str, Tensor | None]]) -> None:
    """Raise ValueError that names the first tensor that is not float32, or differs from the first in shape or device."""
    first: tuple[str, Tensor] | None = None
    for what, tensor in named:
        if tensor is None:
            continue
        if tensor.dtype is not torch.float32:
            raise ValueError(f"{op}: {what} is {tensor.dtype}; expected torch.float32")
        if first is None:
            first = what, tensor
        elif tensor.shape != first[1].shape or tensor.device != first[1].device:
            raise ValueError(
                f"{op}: {what} has shape {tuple(tensor.shape)} on '{tensor.device}', but {first[0]} has "
                f"{tuple(first[1].shape)} on '{first[1].device}'; all must agree"
            )
