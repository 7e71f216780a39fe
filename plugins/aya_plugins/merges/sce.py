"""SCE: select what models disagree on, weigh each model by how much it changed, erase minority signs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aya_core.api import AyaError, Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import add_task_vectors, task_vectors
from aya_plugins.merges.refusals import refuse_weights
from aya_plugins.merges.selection import ALL, Threshold, TopK, keep_largest, thresholds

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep

Found = TypeVar("Found")


class Sce(MergeStrategy):
    """Keep the changes that differ most between models, and average them by each model's energy and sign.

    Of tau_i = theta_i - theta_base, keep in all models the `select_topk` parameters with the highest variance over
    the models (of those where it is not 0). Weigh each model, in each tensor, by w_i = sum tau_i^2 / sum_j sum tau_j^2.
    Erase the tau_i whose sign is not that of sum_i tau_i. theta = theta_base + sum_i w_i tau_i / sum_i w_i over the rest.

    Weights are refused unless they are equal: the method finds its own. Where practice differs: mergekit takes equal
    weights where the mean squares sum to less than 1e-6, as in most fine-tuned models they do; here only where all are
    0. One model has no variance, so it needs select_topk 1. Among equal variances those that come first stay.

    Source: Wan et al. 2024, "FuseChat", arXiv 2408.07990, section 3.2.
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    select_topk: MergeParameter = Field(
        MergeParameter(1.0), gt=0, le=1, description="Share of a tensor's parameters that is kept; 1 keeps all."
    )

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        refuse_weights("sce", weights, "drop them; each model is weighed by how much it changed")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return SceMerge(self)


@dataclass(frozen=True)
class SceMerge:
    """See `Sce`."""

    settings: Sce
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Select and weigh, and return the merge. Raises AyaError without a base, and for unequal weights."""
        from aya_kernels import gram

        self.settings.check_weights(weights)
        threshold = self._selected(pieces, place)

        def keeps(piece: Piece) -> list[Keep]:
            return [_kept(piece, threshold)] * len(piece.models)

        def energies(piece: Piece) -> list[float]:
            mask = _kept(piece, threshold).mask
            vectors = task_vectors("sce", piece)
            return [float(gram([vector if mask is None else vector * mask])) for vector in vectors]

        found = [math.fsum(model) for model in zip(*pieces.map(energies), strict=True)]
        total = math.fsum(found)
        shares = [energy / total if total > 0 else 1 / len(found) for energy in found]
        return add_task_vectors("sce", shares, keeps, elect="plain", normalize=True, lambda_=1.0)

    def _selected(self, pieces: Pieces, place: Place) -> Threshold:
        share = place.value(self.settings.select_topk)
        if share == 1:
            return ALL
        if len(place.models) == 1:
            raise AyaError("merge 'sce': one model has no variance to select by; set select_topk: 1, or add models")
        variances = _Variances(pieces)
        nonzero = sum(variances.map(lambda piece: int(piece.models[0].count_nonzero())))
        ((threshold,),) = thresholds([variances], [TopK(0, int(share * nonzero))])
        return threshold


@dataclass(frozen=True)
class _Variances:
    """The variance over the models of each parameter, as one tensor in pieces."""

    pieces: Pieces

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pieces.shape

    def map(self, function: Callable[[Piece], Found]) -> list[Found]:
        return self.pieces.map(lambda piece: function(_variances(piece)))

    def map_some(self, function: Callable[[Piece], Found]) -> list[Found]:
        return self.pieces.map_some(lambda piece: function(_variances(piece)))


def _variances(piece: Piece) -> Piece:
    vectors = task_vectors("sce", piece)
    mean = vectors[0].clone()
    for vector in vectors[1:]:
        mean += vector
    mean /= len(vectors)
    squares = [vector.sub_(mean).square_() for vector in vectors]
    for square in squares[1:]:
        squares[0] += square
    return Piece((squares[0] / len(squares),), None, piece.start)


def _kept(piece: Piece, threshold: Threshold) -> Keep:
    """Keep, of every model, where the variance belongs to the largest."""
    import torch

    from aya_kernels import Keep, merge_task_vectors

    if threshold is ALL:
        return Keep()
    variances = _variances(piece)
    (values,) = variances.models
    kept = merge_task_vectors(torch.zeros_like(values), [values], [1.0], keep=[keep_largest(variances, threshold)])
    return Keep(mask=(kept != 0).to(torch.float32))
