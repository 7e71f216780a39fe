"""Matrix products into given memory, by the library that is fast on this processor.

torch multiplies float32 matrices on a CPU with MKL, which on AMD processors uses half the width of AVX-512. oneDNN, which
torch carries for convolutions, uses all of it: measured on a Zen 5 core, 230 GFLOP/s against 108. torch's compiler reaches
it through the operator that is used here; where that operator is missing, or the processor another, MKL does the work.
"""

import sys
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

# Below this a product takes less time than the choice of a kernel for it.
_LEAST_MULTIPLICATIONS = 1 << 20
# Longest sum that oneDNN makes in one go: beyond, its rounding errors are more than twice MKL's.
_INNER = 512
# oneDNN needs copies of parts of both factors of a longer sum, of a transposed left factor, and of each result that is added.
# With fewer rows, or terms in the sum, the product is too short to win back what the largest of these copies costs: by the
# speeds above, about 80 are even.
_LEAST_FOR_COPIES = 256


def write_product(out: Tensor, left: Tensor, right: Tensor, *, bias: Tensor | None = None, factor: float = 1.0) -> None:
    """out = factor * (left @ right + bias); bias (columns,) or None."""
    if _is_for_onednn(left, right):
        _add_by_onednn(out, left if factor == 1.0 else left * factor, right, starts=True)
        if bias is not None:
            out.add_(bias, alpha=factor)
    elif bias is None:
        torch.addmm(out, left, right, beta=0, alpha=factor, out=out)
    else:
        torch.addmm(bias, left, right, beta=factor, alpha=factor, out=out)


def add_product(total: Tensor, left: Tensor, right: Tensor, *, starts: bool) -> None:
    """total = left @ right if starts, else total += left @ right, in place."""
    if _is_for_onednn(left, right):
        _add_by_onednn(total, left, right, starts=starts)
    else:
        torch.addmm(total, left, right, beta=0 if starts else 1, out=total)


def _add_by_onednn(total: Tensor, left: Tensor, right: Tensor, *, starts: bool) -> None:
    """Sum over the inner dimension in parts of like length, each made by oneDNN."""
    inner = left.shape[1]
    parts = -(-inner // _INNER)
    step = -(-inner // parts)
    for start in range(0, inner, step):
        product = _onednn(left[:, start : start + step], right[start : start + step])
        if starts and start == 0:
            total.copy_(product)
        else:
            total.add_(product)


def _onednn(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. The operator copies a left factor whose rows have gaps, or a transposed one, and takes any right factor.

    But a right one with gaps between its rows, as a slice of columns has them, it multiplies 500 times slower.
    """
    return _multiply(left, _without_gaps(right).T)


def _multiply(left: Tensor, transposed: Tensor) -> Tensor:
    """left @ transposed.T by oneDNN."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, transposed, None, "none", [], "")
    return product


def _without_gaps(factor: Tensor) -> Tensor:
    """The same matrix, copied if neither its rows nor its columns lie end to end."""
    return factor if factor.is_contiguous() or factor.T.is_contiguous() else factor.T.contiguous().T


def _is_for_onednn(left: Tensor, right: Tensor) -> bool:
    rows, inner = left.shape
    return (
        left.dtype is torch.float32
        and left.device.type == "cpu"
        and rows * inner * right.shape[1] >= _LEAST_MULTIPLICATIONS
        and (left.is_contiguous() or inner >= _LEAST_FOR_COPIES)
        and (inner <= _INNER or right.is_contiguous() or rows >= _LEAST_FOR_COPIES)
        and is_onednn_faster()
    )


@lru_cache(maxsize=1)
def is_onednn_faster() -> bool:
    """Say whether this is an AMD processor with AVX-512 under Linux, and torch has oneDNN's product."""
    if sys.platform != "linux" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
