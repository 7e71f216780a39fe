"""census in Triton: one pass counts, and a second writes what is inside, in flat order.

Run in Triton's interpreter only, not on a GPU; the tests also compile them for one.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit
def _magnitude(tensor, base, offsets, length, HAS_BASE: tl.constexpr):
    inside = offsets < length
    value = tl.load(tensor + offsets, mask=inside, other=0.0)
    if HAS_BASE:
        value -= tl.load(base + offsets, mask=inside, other=0.0)
    return tl.where(inside, tl.abs(value), float("nan"))  # neither above nor within


@triton.jit
def _count_kernel(tensor, base, low, high, counts, length, HAS_BASE: tl.constexpr, BLOCK: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)
    magnitude = _magnitude(tensor, base, program * BLOCK + tl.arange(0, BLOCK), length, HAS_BASE)
    within = (magnitude >= low) & (magnitude <= high)
    tl.store(counts + 2 * program, tl.sum((magnitude > high).to(tl.int32), axis=0).to(tl.int64))
    tl.store(counts + 2 * program + 1, tl.sum(within.to(tl.int32), axis=0).to(tl.int64))


@triton.jit
def _write_kernel(tensor, base, low, high, ends, out, length, HAS_BASE: tl.constexpr, BLOCK: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)
    magnitude = _magnitude(tensor, base, program * BLOCK + tl.arange(0, BLOCK), length, HAS_BASE)
    within = (magnitude >= low) & (magnitude <= high)
    rank = tl.cumsum(within.to(tl.int32), axis=0)
    first = tl.load(ends + program) - tl.sum(within.to(tl.int32), axis=0)
    tl.store(out + first + rank - 1, magnitude, mask=within)


def triton_census(tensor: Tensor, low: float, high: float, base: Tensor | None) -> tuple[int, Tensor]:
    """Compute what reference_census defines."""
    flat, length = tensor.reshape(-1), tensor.numel()
    if length == 0:  # an empty launch grid is an error on a GPU
        return 0, flat.clone()
    origin = flat if base is None else base.reshape(-1)
    grid = (triton.cdiv(length, _BLOCK),)
    counts = torch.empty((*grid, 2), dtype=torch.int64, device=flat.device)
    shape = {"HAS_BASE": base is not None, "BLOCK": _BLOCK}
    with torch.cuda.device_of(flat):
        _count_kernel[grid](flat, origin, float(low), float(high), counts, length, **shape)
        ends = counts[:, 1].cumsum(0)
        out = torch.empty(int(ends[-1]), device=flat.device)
        _write_kernel[grid](flat, origin, float(low), float(high), ends, out, length, **shape)
    return int(counts[:, 0].sum()), out
