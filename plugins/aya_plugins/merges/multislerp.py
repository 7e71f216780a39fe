"""Spherical interpolation between any number of models, around their mean direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import check_total
from aya_plugins.merges.gram import combination, combination_from, gram, norm

if TYPE_CHECKING:
    from torch import Tensor


class MultiSlerp(MergeStrategy):
    """Give the models' mean direction the models' mean length.

    For each tensor, flattened, with u_i = theta_i / (|theta_i| + eps) and m = sum_i w_i u_i: theta = (sum_i w_i
    |theta_i|) m / |m|. With `from_base` theta_i are differences from the base, and the base is added.

    mergekit states it as a step in the tangent space at m / |m|. That step is always zero: the tangent vectors add up to
    m - (sum_i w_i u_i . m / |m|) m / |m| = m - m = 0. What is left is the formula above.

    Models whose directions cancel (|m| < eps) are averaged; mergekit does so for two, and refuses more. One model is that
    model. Weights are divided by their sum; without `normalize_weights` they change the length.

    Source: Goddard 2025, "Multi-SLERP", https://goddard.blog/posts/multislerp-wow-what-a-cool-idea.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"

    normalize_weights: bool = Field(True, description="Divide the weights by their sum.")
    eps: float = Field(1e-8, gt=0, description="A direction or sum shorter than this is none.")
    from_base: bool = Field(False, description="Work on differences from the base, around the base.")

    @property
    def needs_base(self) -> bool:  # type: ignore[override]
        """See `MergeStrategy`."""
        return self.from_base

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize_weights:
            check_total("multislerp", weights, "change them, or set normalize_weights: false")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return MultiSlerpMerge(self, needs_base=self.from_base)


@dataclass(frozen=True)
class MultiSlerpMerge:
    """See `MultiSlerp`."""

    settings: MultiSlerp
    needs_base: bool

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the mean. Raises AyaError where normalized weights sum to zero."""
        settings = self.settings
        from_base = "multislerp" if settings.from_base else None
        if len(weights) == 1:
            return combination([1.0])
        if settings.normalize_weights:
            settings.check_weights(weights)
            weights = [weight / sum(weights) for weight in weights]
        combine = partial(combination_from, from_base) if from_base else combination
        products = gram(pieces, from_base=from_base)
        lengths = [math.sqrt(products[i][i]) for i in range(len(weights))]
        units = [weight / (length + settings.eps) for weight, length in zip(weights, lengths, strict=True)]
        mean = norm(units, products)
        if mean < settings.eps:
            return combine(weights)
        length = math.fsum(weight * length for weight, length in zip(weights, lengths, strict=True))
        return combine([length * unit / mean for unit in units])
