"""census on CPU, one cache-sized block at a time."""

import numpy as np
import torch
from torch import Tensor

from aya_kernels.shared.scratch import scratch

_VALUES_PER_BLOCK = 1 << 15


def blocked_census(tensor: Tensor, low: float, high: float, base: Tensor | None) -> tuple[int, Tensor]:
    """Compute what reference_census defines."""
    values = tensor.detach().reshape(-1).numpy()
    origin = None if base is None else base.detach().reshape(-1).numpy()
    (row,) = scratch(1, _VALUES_PER_BLOCK)
    bottom, top = np.float32(low), np.float32(high)
    above, inside = 0, []
    for start in range(0, len(values), _VALUES_PER_BLOCK):
        stop = min(start + _VALUES_PER_BLOCK, len(values))
        magnitude = row.values[: stop - start]
        if origin is None:
            np.abs(values[start:stop], magnitude)
        else:
            np.subtract(values[start:stop], origin[start:stop], magnitude)
            np.abs(magnitude, magnitude)
        above += int(np.count_nonzero(magnitude > top))
        within = magnitude >= bottom
        within &= magnitude <= top
        inside.append(magnitude[np.flatnonzero(within)])
    return above, torch.from_numpy(np.concatenate([np.empty(0, np.float32), *inside]))
