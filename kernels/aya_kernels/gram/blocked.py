"""gram on CPU, one cache-sized block at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aya_kernels.shared.scratch import scratch

# numpy's BLAS does not cut a dot product of up to 10,000 values over threads; torch's does, and then the last bit
# depends on how many there are.
_VALUES_PER_BLOCK = 1 << 13


def blocked_gram(tensors: Sequence[Tensor], base: Tensor | None) -> Tensor:
    """Compute what reference_gram defines, up to the order of the sums."""
    count = len(tensors)
    models = [tensor.detach().reshape(-1).numpy() for tensor in tensors]
    origin = None if base is None else base.detach().reshape(-1).numpy()
    wide = np.empty((count, _VALUES_PER_BLOCK), dtype=np.float64)
    (narrow,) = scratch(1, _VALUES_PER_BLOCK)
    totals = [[0.0] * count for _ in range(count)]
    for start in range(0, len(models[0]), _VALUES_PER_BLOCK):
        stop = min(start + _VALUES_PER_BLOCK, len(models[0]))
        rows = list(wide[:, : stop - start])
        for row, model in zip(rows, models, strict=True):
            values = model[start:stop]
            if origin is not None:
                values = np.subtract(values, origin[start:stop], narrow.values[: stop - start])
            np.copyto(row, values)
        for i, row in enumerate(rows):
            for j in range(i + 1):
                totals[i][j] += float(np.dot(row, rows[j]))
    for i in range(count):
        for j in range(i):
            totals[j][i] = totals[i][j]
    return torch.tensor(totals, dtype=torch.float64)
