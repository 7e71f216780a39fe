"""kth_magnitude in Triton: two passes that count, one over the upper and one over the lower 16 bits.

Run in Triton's interpreter only, not on a GPU; the tests also compile it for one.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

import struct

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
_BINS = 1 << 16


@triton.jit
def _histogram_kernel(tensor, counts, upper, length, LOWER: tl.constexpr, BLOCK: tl.constexpr):
    """Count the upper 16 bits of each magnitude, or the lower 16 of those whose upper are given."""
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < length
    bits = tl.load(tensor + offsets, mask=inside, other=0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    if LOWER:
        inside = inside & ((bits >> 16) == upper)
        found = bits & 0xFFFF
    else:
        found = bits >> 16
    tl.atomic_add(counts + found, tl.full((BLOCK,), 1, tl.int64), mask=inside)


def triton_kth_magnitude(tensor: Tensor, k: int) -> float:
    """Compute what reference_kth_magnitude defines: magnitudes are in the order of their bits."""
    flat = tensor.reshape(-1)
    upper, k = _select(flat, k, None)
    lower, _ = _select(flat, k, upper)
    return float(struct.unpack("<f", struct.pack("<I", upper << 16 | lower))[0])


def _select(flat: Tensor, k: int, upper: int | None) -> tuple[int, int]:
    """Give the bin that holds the k-th largest, and which of the bin's it is."""
    counts = torch.zeros(_BINS, dtype=torch.int64, device=flat.device)
    with torch.cuda.device_of(flat):
        _histogram_kernel[(triton.cdiv(flat.numel(), _BLOCK),)](
            flat, counts, upper or 0, flat.numel(), LOWER=upper is not None, BLOCK=_BLOCK
        )
    from_top = counts.flip(0).cumsum(0)
    position = int(torch.searchsorted(from_top, k))  # the first bin with k or more in it and above
    above = int(from_top[position - 1]) if position else 0
    return _BINS - 1 - position, k - above
