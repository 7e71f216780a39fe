"""Products with few rows on a CPU, by weights that are laid out for them once.

Token by token a layer multiplies as many rows as there are answers in the batch. torch's own product (MKL) lays the weights out anew each
time, which for 16 to 64 rows takes longer than to multiply; oneDNN takes weights that were laid out before. Measured in
docs/benchmarks.md: two to four times as fast at 16 rows, one and a half to two times at 64, alike from 1,000 rows on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 64
"""For how many rows weights are laid out; fewer and more take them, too."""

FREE = 0.5
"""Share of the free memory that the second copy of the weights may take."""


@contextmanager
def packed_products(model: nn.Module) -> Iterator[int]:
    """While it lasts, linear layers in float32 on a CPU multiply by weights laid out for few rows. Yields how many do.

    The weights are there twice meanwhile; where they would take more than half of the free memory, all stays as it is. Results differ by
    rounding.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and _can_be_packed(layer)]
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    if size > FREE * _free_memory():
        layers = []
    try:
        for layer in layers:
            layer.__dict__["forward"] = _Product(layer)
        yield len(layers)
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


class _Product:
    """A linear layer by oneDNN."""

    def __init__(self, layer: nn.Linear) -> None:
        operations: Any = torch.ops.mkldnn
        self.weight = operations._reorder_linear_weight(layer.weight.detach(), ROWS)
        self.bias = layer.bias
        self.multiply = operations._linear_pointwise

    def __call__(self, rows: Tensor) -> Tensor:
        product: Tensor = self.multiply(rows, self.weight, self.bias, "none", [], "")
        return product


def _can_be_packed(layer: nn.Linear) -> bool:
    has_library: Any = torch.backends.mkldnn.is_available
    return bool(
        type(layer) is nn.Linear
        and "forward" not in layer.__dict__
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and has_library()
    )


def _free_memory() -> float:
    """Bytes that may be taken without anything being written to disk; none where the system does not say."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0.0
