"""census on CPU, one cache-sized block at a time."""

import numpy as np
import torch
from torch import Tensor

from aya_kernels.scratch import scratch

_VALUES_PER_BLOCK = 1 << 16


def blocked_census(tensor: Tensor, low: float, high: float, base: Tensor | None) -> tuple[int, Tensor]:
    """Compute what reference_census defines."""
    flat = tensor.reshape(-1)
    flat_base = None if base is None else base.reshape(-1)
    (block,) = scratch(1, _VALUES_PER_BLOCK)
    bottom, top = np.float32(low), np.float32(high)
    above, inside = 0, []
    for start in range(0, flat.numel(), _VALUES_PER_BLOCK):
        part = slice(start, min(start + _VALUES_PER_BLOCK, flat.numel()))
        magnitude = block[: part.stop - start]
        if flat_base is None:
            torch.abs(flat[part], out=magnitude)
        else:
            torch.sub(flat[part], flat_base[part], out=magnitude).abs_()
        values = magnitude.numpy()
        above += int(np.count_nonzero(values > top))
        within = values >= bottom
        within &= values <= top
        inside.append(values[np.flatnonzero(within)])
    return above, torch.from_numpy(np.concatenate([np.empty(0, np.float32), *inside]))
