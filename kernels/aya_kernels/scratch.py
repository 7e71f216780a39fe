"""Cache-sized rows that a thread keeps, so that a pass over a piece allocates nothing."""

import threading
from collections import defaultdict

import torch
from torch import Tensor


class _Kept(threading.local):
    def __init__(self) -> None:
        self.rows: defaultdict[tuple[int, torch.dtype], list[Tensor]] = defaultdict(list)


_kept = _Kept()


def scratch(count: int, values: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Give this thread's rows of so many values, of unknown content, on CPU. One pass uses them at a time."""
    rows = _kept.rows[values, dtype]
    while len(rows) < count:
        rows.append(torch.empty(values, dtype=dtype))
    return rows[:count]
