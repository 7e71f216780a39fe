"""A weighted sum of tensors in one pass, rounded once: the arithmetic of merging checkpoints."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aya_kernels.shared.dispatch import Backend, choose_backend
from aya_kernels.weighted_sum.blocked import blocked_weighted_sum

__all__ = ["weighted_sum"]


def weighted_sum(
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    *,
    out_dtype: torch.dtype | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Give sum_i weights[i] * tensors[i], accumulated in float32 in the order given and rounded once.

    tensors: one or more, of one shape and device; each may have its own float dtype. Never modified.
    weights: as many finite numbers, of any sign; they need not sum to 1.
    out_dtype: float dtype of the result; None takes that of the first tensor.
    backend: "auto" is Triton on CUDA tensors and torch elsewhere. The Triton kernel has been run in the
        interpreter only, not on a GPU.

    Returns a new contiguous tensor of the inputs' shape. Not differentiable: the result carries no gradient.
    The sum is taken in float64 where an input or out_dtype is float64. On CPU the result does not depend on
    the number of threads.

    Saves: the plain expression in float32 makes widened copies of every input; this needs the result and, on
    CPU, a few cache-sized blocks. A tensor that is not contiguous is copied in its own dtype first.

    Raises ValueError for no tensors, unequal counts, shapes or devices, dtypes that are not float, weights
    that are not finite, and for a backend that cannot run here.

    Source: the weighted average of checkpoints, Wortsman et al. 2022, "Model soups", arXiv 2203.05482,
    section 2.
    """
    _check(tensors, weights, out_dtype)
    out_dtype = tensors[0].dtype if out_dtype is None else out_dtype
    needs_float64 = torch.empty(0, dtype=out_dtype, device=tensors[0].device)
    if choose_backend(backend, [*tensors, needs_float64], op="weighted_sum") == "triton":
        from aya_kernels.weighted_sum.kernel import triton_weighted_sum as compute
    else:
        compute = blocked_weighted_sum
    with torch.no_grad():
        return compute(tensors, weights, out_dtype)


def _check(tensors: Sequence[Tensor], weights: Sequence[float], out_dtype: torch.dtype | None) -> None:
    if len(tensors) == 0 or len(tensors) != len(weights):
        raise ValueError(
            f"weighted_sum: got {len(tensors)} tensors and {len(weights)} weights; expected one weight per "
            "tensor and at least one of each"
        )
    first = tensors[0]
    for position, tensor in enumerate(tensors):
        if tensor.shape != first.shape or tensor.device != first.device:
            raise ValueError(
                f"weighted_sum: tensor {position} has shape {tuple(tensor.shape)} on '{tensor.device}', but "
                f"tensor 0 has {tuple(first.shape)} on '{first.device}'; all must agree"
            )
        if not tensor.is_floating_point():
            raise ValueError(f"weighted_sum: tensor {position} is {tensor.dtype}; expected a float dtype")
    if out_dtype is not None and not out_dtype.is_floating_point:
        raise ValueError(f"weighted_sum: out_dtype is {out_dtype}; expected a float dtype, such as torch.bfloat16")
    for position, weight in enumerate(weights):
        if not math.isfinite(weight):
            raise ValueError(f"weighted_sum: weight {position} is {weight}; expected a finite number")
