"""Inner products between models, for merges that are linear combinations whose weights follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aya_core.api import Piece, Pieces
from aya_plugins.merges.differences import base_of

if TYPE_CHECKING:
    from torch import Tensor

Matrix = list[list[float]]
"""G with G[i][j] the inner product of models i and j over the whole tensor."""


def gram(pieces: Pieces, *, from_base: str | None = None) -> Matrix:
    """Take the inner product of each two models, flattened, in float64.

    from_base: name of a merge that takes it of the differences from the base instead.
    """
    from aya_kernels import gram as gram_of

    def products(piece: Piece) -> Matrix:
        products: Matrix = gram_of(piece.models, None if from_base is None else base_of(from_base, piece)).tolist()
        return products

    found = pieces.map(products)
    models = range(len(found[0]))
    return [[math.fsum(part[i][j] for part in found) for j in models] for i in models]


def combination(coefficients: Sequence[float]) -> Callable[[Piece], Tensor]:
    """Make the function sum_i c_i theta_i of a piece."""

    def merged(piece: Piece) -> Tensor:
        from aya_kernels import weighted_sum

        return weighted_sum(piece.models, coefficients)

    return merged


def combination_from(name: str, coefficients: Sequence[float]) -> Callable[[Piece], Tensor]:
    """Make the function theta_base + sum_i c_i (theta_i - theta_base) of a piece. name: of the merge, for messages."""

    def merged(piece: Piece) -> Tensor:
        from aya_kernels import merge_task_vectors

        return merge_task_vectors(base_of(name, piece), piece.models, coefficients)

    return merged


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Take the inner product of two short vectors."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(coefficients: Sequence[float], products: Matrix) -> float:
    """Give the length of sum_i c_i theta_i: the root of c^T G c."""
    return math.sqrt(max(0.0, dot(coefficients, [dot(row, coefficients) for row in products])))
