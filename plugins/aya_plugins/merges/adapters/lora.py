"""The values of a tensor that a LoRA changes, computed as they are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aya_plugins.merges.files.sources import Source

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_VALUES = 1 << 16
ALIGNED_ROWS = 16


@dataclass(frozen=True)
class LowRank:
    """The product that a LoRA adds to a matrix, and the magnitudes of a DoRA.

    left: gives rows [first, last) of the left factor, float32 (last - first, rank). right: gives the right factor,
    float32 (rank, columns). scaling: of their product. magnitude: gives one norm for each output of the module, float32;
    None for plain LoRA. outputs_are_rows: whether the module's outputs are the rows of the stored matrix, as in Linear;
    in Conv1D and in embeddings they are its columns. bytes: of all of these in their file.
    """

    left: Callable[[int, int], Tensor]
    right: Callable[[], Tensor]
    scaling: float
    magnitude: Callable[[], Tensor] | None
    outputs_are_rows: bool
    bytes: int


@dataclass
class LoraSource:
    """A matrix with a LoRA applied: W' = W + scaling * left @ right, in float32.

    With DoRA it is m * (W + scaling * left @ right) / norm, where norm is the L2 norm of the sum over the inputs of each
    output, taken in float64.

    The product is taken in blocks of whole rows that depend on the matrix's shape alone, so that a value is the same
    however the ranges are cut. No more than a block and the right factor are held beside what is read.

    Source: Hu et al. 2021, arXiv 2106.09685, equation 3; Liu et al. 2024, arXiv 2402.09353 (DoRA), equation 5.
    """

    base: Source
    change: LowRank
    _column_factors: Tensor | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.shape = self.base.shape
        self.dtype = self.base.dtype
        self.bytes = self.base.bytes + self.change.bytes

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop)."""
        if self.change.magnitude is not None and self.change.outputs_are_rows:
            return self._with_row_magnitudes(start, stop)
        values = self.base.read(start, stop)
        columns = self.shape[1]
        right = self.change.right()
        for first, last in self._blocks(start, stop):
            low, high = max(start, first * columns), min(stop, last * columns)
            update = self._update(first, last, right).flatten()
            values[low - start : high - start] += update[low - first * columns : high - first * columns]
        if self.change.magnitude is not None:
            factors = self._columns()
            # Rolled so that the first value meets the factor of its column, then repeated along the range.
            rolled = factors.roll(-(start % columns)).repeat(-(-len(values) // columns))
            values *= rolled[: len(values)]
        return values

    def _with_row_magnitudes(self, start: int, stop: int) -> Tensor:
        import torch

        values = torch.empty(stop - start)
        assert self.change.magnitude is not None
        columns = self.shape[1]
        magnitude, right = self.change.magnitude(), self.change.right()
        for first, last in self._blocks(start, stop):
            low, high = max(start, first * columns), min(stop, last * columns)
            rows = self._changed_rows(first, last, right)
            norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).float()
            rows *= (magnitude[first:last] / norms)[:, None]
            values[low - start : high - start] = rows.flatten()[low - first * columns : high - first * columns]
        return values

    def _columns(self) -> Tensor:
        """What each column of a DoRA is multiplied with; found in one pass over the matrix, once."""
        import torch

        assert self.change.magnitude is not None
        with self._lock:
            if self._column_factors is None:
                rows, columns = self.shape
                squares = torch.zeros(columns, dtype=torch.float64)
                right = self.change.right()
                for first, last in self._blocks(0, rows * columns):
                    squares += self._changed_rows(first, last, right).double().square().sum(0)
                self._column_factors = self.change.magnitude() / squares.sqrt().float()
        return self._column_factors

    def _changed_rows(self, first: int, last: int, right: Tensor) -> Tensor:
        columns = self.shape[1]
        rows = self.base.read(first * columns, last * columns).view(-1, columns)
        return rows.add_(self._update(first, last, right))

    def _update(self, first: int, last: int, right: Tensor) -> Tensor:
        return (self.change.left(first, last) @ right).mul_(self.change.scaling)

    def _blocks(self, start: int, stop: int) -> list[tuple[int, int]]:
        rows, columns = self.shape
        # A multiple of 16 rows keeps every block at the same alignment, with which the product's rounding may change.
        height = max(BLOCK_VALUES // columns // ALIGNED_ROWS, 1) * ALIGNED_ROWS
        first = start // columns // height * height
        return [(row, min(row + height, rows)) for row in range(first, -(-stop // columns), height)]


@dataclass
class StoredSource:
    """A tensor that an adapter brings whole. values: gives it, flat, in any dtype. dtype: the base's, as it is merged."""

    base: Source
    values: Callable[[], Tensor]
    bytes: int

    def __post_init__(self) -> None:
        self.shape = self.base.shape
        self.dtype = self.base.dtype

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop)."""
        import torch

        return self.values()[start:stop].to(torch.float32, copy=True)


@dataclass
class ShiftedSource:
    """A bias to which an adapter adds scaling * shift. shift: gives it, float32."""

    base: Source
    shift: Callable[[], Tensor]
    scaling: float
    shift_bytes: int

    def __post_init__(self) -> None:
        self.shape = self.base.shape
        self.dtype = self.base.dtype
        self.bytes = self.base.bytes + self.shift_bytes

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop)."""
        return self.base.read(start, stop) + self.scaling * self.shift()[start:stop]
