"""DARE: drop changes at random, and rescale what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aya_core.api import Piece, Pieces, Place
from aya_plugins.merges.differences import Rescale
from aya_plugins.merges.rescaling import rescale_to_l1

if TYPE_CHECKING:
    from aya_kernels import Keep


def drop_and_rescale(
    name: str, pieces: Pieces, densities: Sequence[float], rescale: Rescale, place: Place
) -> Callable[[Piece], Sequence[Keep]]:
    """Make the function that says what is kept of each model in a piece: each value with probability density.

    The draws of a model come from the Philox stream of its tensor's key and its place in the list, one for each value.
    """
    from aya_kernels import Keep

    scales = [1 / density if rescale == "unbiased" and density else 1.0 for density in densities]

    def keeps(piece: Piece) -> list[Keep]:
        return [
            Keep(density=density, key=(place.key, model), start=piece.start, scale=scale)
            for model, (density, scale) in enumerate(zip(densities, scales, strict=True))
        ]

    if rescale == "l1" and any(density < 1 for density in densities):
        return rescale_to_l1(name, pieces, keeps)
    return keeps
