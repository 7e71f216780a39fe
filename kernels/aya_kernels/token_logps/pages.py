"""Large buffers that cost little to get."""

import mmap
import sys

import torch
from torch import Tensor

# Above this the C library asks the system for each buffer anew; below it hands out what it has.
_LEAST_BYTES = 1 << 25


def float_buffer(values: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give an uninitialised buffer of (values,), on Linux in huge pages where it is on the CPU and large.

    A fresh buffer is handed over page by page as it is first written. In pages of 4 KiB that costs 0.1 s for
    256 MiB, a tenth of the matrix products that fill it; in huge pages a tenth of that. Where the system has
    none left it gives small ones.
    """
    size = values * dtype.itemsize
    if device.type != "cpu" or sys.platform != "linux" or size < _LEAST_BYTES:
        return torch.empty(values, dtype=dtype, device=device)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype)
