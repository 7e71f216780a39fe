"""Cache-sized rows that a thread keeps, so that a pass over a piece allocates nothing."""

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Row(NamedTuple):
    """The same memory as torch sees it, as numpy does, and as bits. numpy calls cost a third of torch calls."""

    tensor: Tensor
    values: "NDArray[np.float32]"
    bits: "NDArray[np.uint32]"

    def cut(self, size: int) -> "Row":
        """Take the first values."""
        return Row(self.tensor[:size], self.values[:size], self.bits[:size])


class _Kept(threading.local):
    def __init__(self) -> None:
        self.rows: defaultdict[int, list[Row]] = defaultdict(list)


_kept = _Kept()


def scratch(count: int, length: int) -> list[Row]:
    """Give this thread's float32 rows of a length, of unknown content, on CPU. One pass uses them at a time."""
    rows = _kept.rows[length]
    while len(rows) < count:
        tensor = torch.empty(length, dtype=torch.float32)
        values = tensor.numpy()
        rows.append(Row(tensor, values, values.view(np.uint32)))
    return rows[:count]
