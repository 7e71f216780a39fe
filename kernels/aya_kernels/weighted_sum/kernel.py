"""weighted_sum in Triton: every input is read once and the output written once.

Run in Triton's interpreter only, not on a GPU; the tests also compile it for one.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
# The loop over inputs is unrolled, so each pass has a bounded number of pointers and compiled variants.
_INPUTS_PER_PASS = 16


@triton.jit
def _weighted_sum_kernel(inputs, weights, total, out, length, CONTINUES: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK  # int64: tensors may have more than 2^31 values
    offsets = start + tl.arange(0, BLOCK)
    mask = offsets < length
    if CONTINUES:  # noqa: SIM108 - Triton compiles only the branch taken
        acc = tl.load(total + offsets, mask=mask, other=0.0)
    else:
        acc = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(len(inputs)):
        acc += tl.load(inputs[i] + offsets, mask=mask, other=0.0).to(tl.float32) * weights[i]
    # A GPU rounds to nearest; the interpreter truncates a bf16 (and its own "rtne" loses carries, in triton
    # 3.9).
    tl.store(out + offsets, acc.to(out.dtype.element_ty), mask=mask)


def triton_weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float], out_dtype: torch.dtype) -> Tensor:
    """Compute what reference_weighted_sum defines, in one launch for every 16 inputs.

    Product and sum stay two roundings on a GPU as well, so that the float32 sum is the reference's to the
    bit.
    """
    flats = [tensor.reshape(-1) for tensor in tensors]  # copies only what is not contiguous
    out = torch.empty(tensors[0].shape, dtype=out_dtype, device=tensors[0].device)
    if out.numel() == 0:  # an empty launch grid is an error on a GPU
        return out
    passes = range(0, len(flats), _INPUTS_PER_PASS)
    total = torch.empty_like(out, dtype=torch.float32) if len(passes) > 1 else out
    with torch.cuda.device_of(out):
        for first in passes:
            is_last = first == passes[-1]
            _weighted_sum_kernel[(triton.cdiv(out.numel(), _BLOCK),)](
                tuple(flats[first : first + _INPUTS_PER_PASS]),
                tuple(float(weight) for weight in weights[first : first + _INPUTS_PER_PASS]),
                total,
                out if is_last else total,
                out.numel(),
                CONTINUES=first > 0,
                BLOCK=_BLOCK,
                enable_fp_fusion=False,
            )
    return out
