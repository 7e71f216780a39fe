"""gram on CPU, one cache-sized block at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aya_kernels.scratch import scratch

# numpy's BLAS does not cut a dot product of up to 10,000 values over threads; torch's does, and then the last bit
# depends on how many there are.
_VALUES_PER_BLOCK = 1 << 13


def blocked_gram(tensors: Sequence[Tensor], base: Tensor | None) -> Tensor:
    """Compute what reference_gram defines, up to the order of the sums."""
    count = len(tensors)
    flats = [tensor.reshape(-1) for tensor in tensors]
    flat_base = None if base is None else base.reshape(-1)
    wide = scratch(count, _VALUES_PER_BLOCK, torch.float64)
    (narrow,) = scratch(1, _VALUES_PER_BLOCK)
    totals = [[0.0] * count for _ in range(count)]
    length = flats[0].numel()
    for start in range(0, length, _VALUES_PER_BLOCK):
        part = slice(start, min(start + _VALUES_PER_BLOCK, length))
        rows = [row[: part.stop - start] for row in wide]
        vectors = [row.numpy() for row in rows]
        for row, flat in zip(rows, flats, strict=True):
            values = flat[part]
            if flat_base is not None:
                values = torch.sub(values, flat_base[part], out=narrow[: part.stop - start])
            row.copy_(values)
        for i, vector in enumerate(vectors):
            for j in range(i + 1):
                totals[i][j] += float(np.dot(vector, vectors[j]))
    for i in range(count):
        for j in range(i):
            totals[j][i] = totals[i][j]
    return torch.tensor(totals, dtype=torch.float64)
