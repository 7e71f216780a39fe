"""Apply a merge to tensors in memory, as the engine would."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aya_core.api import Place
from aya_core.testing import merge_whole


def place(models: int, key: int = 0, name: str = "model.weight") -> Place:
    return Place(name, tuple(f"model-{index}" for index in range(models)), key)


def apply(settings, tensors, weights=None, base=None, key=0, *, rows=None) -> Tensor:
    """Merge whole tensors; rows: of a piece, where they are cut."""
    weights = [1.0] * len(tensors) if weights is None else weights
    return merge_whole(settings.build(), tensors, weights, base, place(len(tensors), key), rows=rows)


def normal(seed: int, count: int, shape: Sequence[int] = (7, 13)) -> list[Tensor]:
    """Make some tensors; the same seed gives the same."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(tuple(shape), generator=generator) for _ in range(count)]
