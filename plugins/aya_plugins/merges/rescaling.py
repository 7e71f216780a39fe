"""Rescale what is kept of task vectors to the L1 norm of all of them, as mergekit does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aya_core.api import Piece, Pieces
from aya_plugins.merges.differences import task_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from aya_kernels import Keep

REMEMBERED = 1 << 26
"""Most bytes of a tensor's masks that are held from the survey to the merge, one bit for each value of each model."""


def rescale_to_l1(
    name: str, pieces: Pieces, keeps: Callable[[Piece], Sequence[Keep]]
) -> Callable[[Piece], Sequence[Keep]]:
    """Make the function that keeps the same, times what gives each model's kept differences the L1 norm of all of them.

    It is times 1 where nothing is kept. Norms are taken in float64. On a CPU what is kept is remembered, as far as `REMEMBERED`
    goes, rather than worked out twice. name: of the merge, for messages. keeps: all or nothing of each value, unscaled.
    """
    import torch

    from aya_kernels import Keep, merge_task_vectors

    masks: dict[int, list[NDArray[np.uint8]]] = {}
    room = REMEMBERED

    def norms(piece: Piece) -> list[tuple[float, float]]:
        nonlocal room
        vectors = task_vectors(name, piece)
        kept = [
            merge_task_vectors(torch.zeros_like(vector), [vector], [1.0], keep=[keep])
            for vector, keep in zip(vectors, keeps(piece), strict=True)
        ]
        room -= sum(-(-vector.numel() // 8) for vector in vectors)
        if room >= 0 and vectors[0].device.type == "cpu":
            masks[piece.start] = [_packed(values) for values in kept]
        return [(_l1(vector), _l1(values)) for vector, values in zip(vectors, kept, strict=True)]

    scales = []
    for model in zip(*pieces.map(norms), strict=True):
        before, after = (math.fsum(column) for column in zip(*model, strict=True))
        scales.append(before / after if after > 0 else 1.0)

    def rescaled(piece: Piece) -> list[Keep]:
        if piece.start not in masks:
            return [keep._replace(scale=scale) for keep, scale in zip(keeps(piece), scales, strict=True)]
        return [
            Keep(mask=_unpacked(mask, model), scale=scale)
            for mask, model, scale in zip(masks[piece.start], piece.models, scales, strict=True)
        ]

    return rescaled


def _packed(kept: Tensor) -> NDArray[np.uint8]:
    """Say in bits which values are not zero; of a difference that is zero it does not matter."""
    import numpy as np

    return np.packbits(kept.numpy() != 0)


def _unpacked(mask: NDArray[np.uint8], like: Tensor) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.unpackbits(mask, count=like.numel())).to(torch.float32).view(like.shape)


def _l1(tensor: Tensor) -> float:
    # numpy's: torch cuts a sum by its number of threads, which moves the last bits
    return float(tensor.abs().cpu().numpy().sum(dtype="float64"))
