"""Spherical interpolation between two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import AyaError, Field, Strategy, TensorMerge

if TYPE_CHECKING:
    from torch import Tensor

NEARLY_PARALLEL = 0.9995
"""Above this |cos| the arc is a line to float32; mergekit has the same threshold."""

SHORTEST = 1e-8
"""A tensor of at most this norm has no direction."""


class Slerp(Strategy[TensorMerge]):
    """Merge two models along the arc between them.

    For each tensor, flattened, with omega the angle between a and b: (sin((1 - t) omega) a + sin(t omega) b)
    / sin omega. Only the angle is taken between unit vectors; a and b keep their lengths. Where |cos omega| >
    0.9995 it is (1 - t) a + t b. A tensor of zeros counts as orthogonal to the other.

    It takes exactly two models, the first at t = 0. Weights are refused unless they are equal: t says the
    same thing, and a spherical mean of more models is another merge. (mergekit calls the first model
    base_model and has no default t.)

    Source: Shoemake 1985, "Animating rotation with quaternion curves", section 3.3; the form over weights is
    mergekit's.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"

    t: float = Field(0.5, ge=0, le=1, description="Where on the arc: 0 is the first model, 1 the second.")

    def build(self) -> TensorMerge:
        """Make the merge."""
        return SlerpMerge(self)


@dataclass(frozen=True)
class SlerpMerge:
    """See `Slerp`."""

    settings: Slerp
    needs_base = False

    def __call__(self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, key: int) -> Tensor:
        """Return the point at t on the arc of one tensor. Raises AyaError for all but two equal weights."""
        from aya_kernels import weighted_sum

        if len(tensors) != 2:
            raise AyaError(
                f"merge 'slerp': got {len(tensors)} models, expected two; merge more with 'weighted', or two at a time"
            )
        if weights[0] != weights[1]:
            raise AyaError(
                f"merge 'slerp': weights {list(weights)} have no meaning here; "
                "drop them and set t (0 is the first model)"
            )
        return weighted_sum(tensors, arc(_cosine(*tensors), self.settings.t))


def arc(cosine: float, t: float) -> tuple[float, float]:
    """Weigh both ends of an arc whose ends have this cosine, so that the sum lies at t."""
    if abs(cosine) > NEARLY_PARALLEL:
        return 1 - t, t
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _cosine(a: Tensor, b: Tensor) -> float:
    from aya_plugins.merges.sums import ordered_sum

    a_norm, b_norm = (math.sqrt(ordered_sum([x, x])) for x in (a, b))
    dot = ordered_sum([a, b])
    return dot / ((a_norm if a_norm > SHORTEST else 1) * (b_norm if b_norm > SHORTEST else 1))
