"""Spherical interpolation between two models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.gram import combination, gram
from aya_plugins.merges.refusals import refuse_number, refuse_weights

if TYPE_CHECKING:
    from torch import Tensor

NEARLY_PARALLEL = 0.9995
"""Above this |cos| the arc is a line to float32; mergekit has the same threshold."""

SHORTEST = 1e-8
"""A tensor of at most this norm has no direction."""


class Slerp(MergeStrategy):
    """Merge two models along the arc between them.

    For each tensor, flattened, with omega the angle between a and b: (sin((1 - t) omega) a + sin(t omega) b)
    / sin omega. Only the angle is taken between unit vectors; a and b keep their lengths. Where |cos omega| >
    0.9995 it is (1 - t) a + t b. A tensor of zeros counts as orthogonal to the other.

    It takes exactly two models, the first at t = 0. Weights are refused unless they are equal: t says the
    same thing; for more models there are `multislerp` and `karcher`. (mergekit calls the first model
    base_model and has no default t.)

    Source: Shoemake 1985, "Animating rotation with quaternion curves", section 3.3; the form over weights is
    mergekit's.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"
    least_models = 2
    most_models = 2

    t: MergeParameter = Field(
        MergeParameter(0.5), ge=0, le=1, description="Where on the arc: 0 is the first model, 1 the second."
    )

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        refuse_weights("slerp", weights, "drop them and set t (0 is the first model)")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return SlerpMerge(self)


@dataclass(frozen=True)
class SlerpMerge:
    """See `Slerp`."""

    settings: Slerp
    needs_base = False

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the point at t on the arc of one tensor. Raises AyaError for all but two equal weights."""
        if len(weights) != 2:
            refuse_number("slerp", len(weights), "two", "merge more with 'weighted', or two at a time")
        self.settings.check_weights(weights)
        products = gram(pieces)
        lengths = [math.sqrt(products[i][i]) for i in range(2)]
        cosine = products[0][1] / math.prod(length if length > SHORTEST else 1 for length in lengths)
        return combination(arc(cosine, place.value(self.settings.t)))


def arc(cosine: float, t: float) -> tuple[float, float]:
    """Weigh both ends of an arc whose ends have this cosine, so that the sum lies at t."""
    if abs(cosine) > NEARLY_PARALLEL:
        return 1 - t, t
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
