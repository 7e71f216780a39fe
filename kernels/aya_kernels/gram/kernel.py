"""gram in Triton: sums of 1,024 products are float32, sums of these float64.

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
# Each program takes many blocks, so that few sums are left to add.
_PROGRAMS = 1024


@triton.jit
def _gram_kernel(tensors, base, out, length, blocks, HAS_BASE: tl.constexpr, BLOCK: tl.constexpr):
    """Write each program's sums, (programs, n * n) float64, lower triangle."""
    program = tl.program_id(0).to(tl.int64)
    for i in tl.static_range(len(tensors)):
        for j in tl.static_range(i + 1):
            total = tl.zeros((1,), tl.float64)
            for block in range(blocks):
                offsets = (program * blocks + block) * BLOCK + tl.arange(0, BLOCK)
                inside = offsets < length
                x = tl.load(tensors[i] + offsets, mask=inside, other=0.0)
                y = tl.load(tensors[j] + offsets, mask=inside, other=0.0)
                if HAS_BASE:
                    origin = tl.load(base + offsets, mask=inside, other=0.0)
                    x -= origin
                    y -= origin
                total += tl.sum(x * y, axis=0).to(tl.float64)
            cell = (program * len(tensors) + i) * len(tensors) + j
            tl.store(out + cell + tl.arange(0, 1), total)


def triton_gram(tensors: Sequence[Tensor], base: Tensor | None) -> Tensor:
    """Compute what reference_gram defines, up to rounding.

    A program's blocks are read once for each pair, mostly from cache.
    """
    count, length = len(tensors), tensors[0].numel()
    blocks = max(triton.cdiv(length, _BLOCK * _PROGRAMS), 1)
    programs = triton.cdiv(length, _BLOCK * blocks)
    if programs == 0:  # an empty launch grid is an error on a GPU
        return torch.zeros((count, count), dtype=torch.float64, device=tensors[0].device)
    parts = torch.zeros((programs, count, count), dtype=torch.float64, device=tensors[0].device)
    with torch.cuda.device_of(parts):
        _gram_kernel[(programs,)](
            tuple(tensor.reshape(-1) for tensor in tensors),
            (tensors[0] if base is None else base).reshape(-1),
            parts,
            length,
            blocks,
            HAS_BASE=base is not None,
            BLOCK=_BLOCK,
        )
    lower = parts.sum(0)
    return lower + lower.tril(-1).T
