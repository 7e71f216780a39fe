"""Count the large magnitudes of a tensor and pick those within a bracket: selection in one streaming pass."""

import math

import torch
from torch import Tensor

from aya_kernels.census.blocked import blocked_census
from aya_kernels.census.reference import reference_census
from aya_kernels.shared.checks import check_float32
from aya_kernels.shared.dispatch import Backend, choose_backend

__all__ = ["census"]


def census(
    tensor: Tensor, low: float, high: float, base: Tensor | None = None, *, backend: Backend = "auto"
) -> tuple[int, Tensor]:
    """Count the magnitudes above high, and give those from low to high.

    With a bracket [low, high] around it, the k-th largest magnitude of a tensor in pieces is the (k - count)-th
    largest of all that is given, where count is over all pieces: memory grows with the bracket, not with the tensor.

    tensor: float32, of any shape. Never modified. base: subtracted first, in float32, if there is one.
    low, high: both ends are inside; as float32 numbers.
    backend: "auto" is Triton on CUDA tensors and torch elsewhere. The Triton kernels have been run in the
        interpreter only, not on a GPU.

    Returns the count, and a new tensor of shape (inside,), float32, in flat order, on the tensor's device. NaN is
    neither above nor inside.

    Saves: the magnitudes of the whole tensor; on CPU it needs a few cache-sized blocks that each thread keeps. It is
    fast while few values are inside. Safe in several threads at once.

    Raises ValueError for other dtypes, unequal shapes or devices, bounds that are NaN or low above high, and for a
    backend that cannot run here.
    """
    check_float32("census", [("tensor", tensor), ("base", base)])
    if not low <= high or math.isnan(low):
        raise ValueError(f"census: the bracket is {low} to {high}; expected numbers, low no larger than high")
    if choose_backend(backend, [tensor], op="census") == "triton":
        from aya_kernels.census.kernel import triton_census as compute
    else:
        compute = blocked_census if tensor.device.type == "cpu" else reference_census
    with torch.no_grad():
        return compute(tensor, low, high, base)
