"""The Karcher mean: the point on the sphere that is nearest to all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import AyaError, Field, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.gram import Matrix, combination, dot, gram, norm

if TYPE_CHECKING:
    from torch import Tensor


class Karcher(MergeStrategy):
    """Give the spherical mean of the models' directions their mean length.

    For each tensor, flattened, with u_i = theta_i / |theta_i|: the mean m of unit length is that for which sum_i w_i
    log_m(u_i) = 0, where log_m(u) = (omega / sin omega) (u - cos omega m), cos omega = u . m. It starts at the mean of the u_i
    and walks along that sum until it is shorter than `tol`. theta = (sum_i w_i |theta_i|) m. Of two models of equal weight
    it is their slerp at t = 0.5, but for length.

    Weights must not be negative, and are divided by their sum (mergekit has none). A tensor of zeros has no direction and
    counts in the length alone. Models of opposite directions, as tensors of one value may be, have no spherical mean and
    are averaged (mergekit takes the first's direction). One model is that model.

    All happens on the inner products of the models, as m stays a linear combination of them: tensors are read twice,
    whatever the number of steps.

    Source: Karcher 1977, "Riemannian center of mass and mollifier smoothing"; over weights, mergekit's, which gives arXiv
    2603.04972.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"

    max_iter: int = Field(10, ge=0, description="Most steps.")
    tol: float = Field(
        1e-5,
        gt=0,
        description="A step shorter than this, in radians, is the last. A tensor shorter than this has no direction.",
    )

    def build(self) -> PieceMerge:
        """Make the merge."""
        return KarcherMerge(self)


@dataclass(frozen=True)
class KarcherMerge:
    """See `Karcher`."""

    settings: Karcher
    needs_base = False

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the mean. Raises AyaError for weights that are negative or all 0."""
        if min(weights) < 0 or not any(weights):
            raise AyaError(
                f"merge 'karcher': weights {list(weights)}, expected none below 0 and one above; change them, or drop them"
            )
        if len(weights) == 1:
            return combination([1.0])
        shares = [weight / sum(weights) for weight in weights]
        products = gram(pieces)
        lengths = [math.sqrt(products[i][i]) for i in range(len(weights))]
        length = math.fsum(share * length for share, length in zip(shares, lengths, strict=True))
        valid = [i for i, of in enumerate(lengths) if of > self.settings.tol and shares[i] > 0]
        if not valid:
            return combination(shares)
        cosines = [[products[i][j] / (lengths[i] * lengths[j]) for j in valid] for i in valid]
        total = math.fsum(shares[i] for i in valid)
        mean = mean_direction(
            cosines, [shares[i] / total for i in valid], max_iter=self.settings.max_iter, tol=self.settings.tol
        )
        if mean is None:
            return combination(shares)
        found = dict(zip(valid, mean, strict=True))
        return combination([length * found.get(i, 0.0) / (lengths[i] or 1.0) for i in range(len(weights))])


def mean_direction(cosines: Matrix, weights: Sequence[float], *, max_iter: int, tol: float) -> list[float] | None:
    """Find the spherical mean of unit vectors as a linear combination of them, from their inner products.

    weights: above 0, of sum 1. Returns the combination's coefficients, or None where the mean is opposite to one of them.
    """
    mean = list(weights)
    start = norm(mean, cosines)
    mean = [x / start for x in mean] if start >= tol else [1.0] + [0.0] * (len(weights) - 1)
    for _ in range(max_iter):
        step = [0.0] * len(weights)
        for i, weight in enumerate(weights):
            cosine = min(1.0, max(-1.0, dot(cosines[i], mean)))
            angle = math.acos(cosine)
            if angle < tol:
                continue
            if angle > math.pi - 1e-6:
                return None
            factor = weight * angle / math.sin(angle)
            step = [x - factor * cosine * y for x, y in zip(step, mean, strict=True)]
            step[i] += factor
        size = norm(step, cosines)
        if size < tol:
            break
        mean = [math.cos(size) * x + math.sin(size) / size * y for x, y in zip(mean, step, strict=True)]
        length = norm(mean, cosines)
        mean = [x / length for x in mean]
    return mean
