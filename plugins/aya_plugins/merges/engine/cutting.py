"""Cut a tensor into pieces that fit a cache."""

from __future__ import annotations

from typing import NamedTuple

VALUES = 1 << 16
"""Values of a piece on a CPU: 256 KiB in float32, so that a piece of a few models and scratch fit a core's cache."""

VALUES_ON_GPU = 1 << 24


class Cut(NamedTuple):
    """Where a piece lies: the flat values [start, stop), seen as rows of so many columns."""

    start: int
    stop: int
    columns: int


def cut(shape: tuple[int, ...], values: int = VALUES, *, whole_rows: bool = False) -> list[Cut]:
    """Cut a tensor into pieces of so many values, each one row; or into whole rows of its last dimension."""
    total = 1
    for length in shape:
        total *= length
    if total == 0:
        return []
    if not whole_rows:
        return [Cut(start, min(start + values, total), min(values, total - start)) for start in range(0, total, values)]
    columns = shape[-1] if shape else 1
    step = max(1, values // columns) * columns
    return [Cut(start, min(start + step, total), columns) for start in range(0, total, step)]
