"""Inner products of all pairs of tensors, for angles and norms of task vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aya_kernels.gram.blocked import blocked_gram
from aya_kernels.gram.reference import reference_gram
from aya_kernels.shared.checks import check_float32
from aya_kernels.shared.dispatch import Backend, choose_backend

__all__ = ["gram"]

_MOST_IN_ONE_KERNEL = 16


def gram(tensors: Sequence[Tensor], base: Tensor | None = None, *, backend: Backend = "auto") -> Tensor:
    """Give the inner product of every pair of tensors, each taken as one long vector, minus the base if there is one.

    tensors: one or more, float32, of one shape and device. base: likewise. Never modified.
    backend: "auto" is Triton on CUDA tensors, up to 16, and torch elsewhere. The Triton kernel has been run in the
        interpreter only, not on a GPU.

    Returns (n, n), float64, symmetric, on the tensors' device, without gradient. Differences are rounded to float32;
    of these, products are exact and sums float64: an entry is off by at most N * 2^-53 * sum_k |x_k y_k|, where N is the
    number of values; on a GPU products and the sums of 1,024 of them are float32, and N * 2^-53 becomes 2^-19 at
    worst. Deterministic: it does not depend on the number of threads. The Gram matrices of a tensor's pieces add up
    to that of the tensor.

    Saves: float64 copies of the tensors; on CPU it needs a few cache-sized blocks that each thread keeps. Safe in
    several threads at once.

    Raises ValueError for no tensors, unequal shapes or devices, other dtypes, and for a backend that cannot run here.
    """
    if len(tensors) == 0:
        raise ValueError("gram: got no tensors; expected at least one")
    check_float32("gram", [*((f"tensor {i}", tensor) for i, tensor in enumerate(tensors)), ("base", base)])
    if choose_backend(backend, tensors, op="gram") == "triton":
        if len(tensors) <= _MOST_IN_ONE_KERNEL:
            from aya_kernels.gram.kernel import triton_gram as compute
        elif backend == "triton":
            raise ValueError(f"gram: backend 'triton' takes up to {_MOST_IN_ONE_KERNEL} tensors; got {len(tensors)}")
        else:
            compute = reference_gram
    else:
        compute = blocked_gram if tensors[0].device.type == "cpu" else reference_gram
    with torch.no_grad():
        return compute(tensors, base)
