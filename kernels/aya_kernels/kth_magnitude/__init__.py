"""The k-th largest magnitude of a tensor, by selection rather than sorting."""

import operator

import torch
from torch import Tensor

from aya_kernels.kth_magnitude.reference import reference_kth_magnitude
from aya_kernels.shared.checks import check_float32
from aya_kernels.shared.dispatch import Backend, choose_backend

__all__ = ["kth_magnitude"]


def kth_magnitude(tensor: Tensor, k: int, *, backend: Backend = "auto") -> float:
    """Give the k-th largest magnitude, so that at least k values are as large as it and fewer than k larger.

    tensor: float32, of any shape, without NaN. Never modified. k: 1, the largest, to the number of values.
    backend: "auto" is Triton on CUDA tensors and torch elsewhere. The Triton kernel has been run in the interpreter
        only, not on a GPU.

    Returns a float32 number. Saves: time, which grows with the number of values and not with k; on CPU it copies the
    magnitudes, on a GPU it needs 512 KiB.

    Raises ValueError for other dtypes, k outside its range, and for a backend that cannot run here.
    """
    check_float32("kth_magnitude", [("tensor", tensor)])
    if not 1 <= operator.index(k) <= tensor.numel():
        raise ValueError(f"kth_magnitude: k is {k}; expected 1 to {tensor.numel()}, the number of values")
    if choose_backend(backend, [tensor], op="kth_magnitude") == "triton":
        from aya_kernels.kth_magnitude.kernel import triton_kth_magnitude as compute
    else:
        compute = partition_kth_magnitude if tensor.device.type == "cpu" else reference_kth_magnitude
    with torch.no_grad():
        return compute(tensor, k)


def partition_kth_magnitude(tensor: Tensor, k: int) -> float:
    """Compute what reference_kth_magnitude defines."""
    magnitude = tensor.abs().reshape(-1).numpy()  # a new tensor, free to be reordered
    position = magnitude.size - k
    magnitude.partition(position)
    return float(magnitude[position])
