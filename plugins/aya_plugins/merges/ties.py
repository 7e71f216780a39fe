"""TIES: trim small changes, elect signs, average those who agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aya_core.api import (
    AyaError,
    Field,
    MergeParameter,
    MergeStrategy,
    Piece,
    PieceMerge,
    Pieces,
    Place,
    WholeModelMerge,
)
from aya_plugins.merges.differences import Density, add_task_vectors, check_totals_of_voters
from aya_plugins.merges.rescaling import rescale_to_l1
from aya_plugins.merges.selection import Threshold, TopK, keep_largest, thresholds

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep


class Ties(MergeStrategy):
    """Keep each model's largest changes to the base, and average those that agree in sign.

    tau_i = theta_i - theta_base, of which the `density` largest in magnitude are kept; gamma = sign(sum_i w_i
    tau_i); theta = theta_base + lambda * mean of the tau_i that have sign gamma, by weight. A sum of exactly zero
    elects plus, as in mergekit. A parameter that nobody changes stays the base's.

    Where the paper is open or practice differs:

    - Trimming is by tensor, as in mergekit; `trim: global` is the authors' code, which trims each model's whole
      vector at one threshold. Either keeps max(1, floor(density * n)) of n values; among equal magnitudes those
      that come first in the tensor (the authors keep one value more, and all its equals; mergekit any of them). A density of 0 keeps none.
    - The paper has no weights. Here, as in mergekit, they count in the average and, unless `weigh_election`
      is false, in the election. They need not sum to one.
    - The default density is the paper's 0.2. mergekit's is 1, which trims nothing.

    Source: Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708, algorithm 1.
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    density: Density = Field(MergeParameter(0.2), description="Share of each task vector that is kept; 1 keeps all.")
    trim: Literal["per-tensor", "global"] = Field(
        "per-tensor",
        description="Keep the largest of each tensor, or of all tensors together, as the authors' code does.",
    )
    lambda_: MergeParameter = Field(
        MergeParameter(1.0), description="Scale of the merged task vector, lambda in the paper."
    )
    weigh_election: bool = Field(True, description="Let weights count in the election of signs, as in mergekit.")
    normalize: bool = Field(
        True, description="Divide by the weights of those who agree; false sums (no disjoint mean)."
    )
    rescale: Literal["none", "l1"] = Field(
        "none", description="Give what is kept of a tensor the L1 norm of all of it (l1, mergekit's rescale: true)."
    )

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_totals_of_voters("ties", tuple(weights))

    def build(self) -> PieceMerge | WholeModelMerge:
        """Make the merge."""
        return TiesMerge(self) if self.trim == "per-tensor" else GlobalTies(self)


@dataclass(frozen=True)
class TiesMerge:
    """See `Ties`."""

    settings: Ties
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Trim each model, and return the merge of what is left. Raises AyaError without a base."""
        length = math.prod(pieces.shape)
        (found,) = thresholds([pieces], [
            TopK(model, number_kept(density, length))
            for model, density in enumerate(place.values(self.settings.density))
        ])  # fmt: skip
        return merge_trimmed(self.settings, pieces, found, weights, place)


@dataclass(frozen=True)
class GlobalTies:
    """See `Ties`; one threshold per model holds for all tensors."""

    settings: Ties
    needs_base = True

    def survey_all(self, tensors: Sequence[tuple[Place, Pieces]]) -> PieceMerge:
        """Find each model's threshold over all tensors. Raises AyaError where density differs between tensors."""
        densities = {place.values(self.settings.density) for place, _ in tensors}
        if len(densities) > 1:
            raise AyaError(
                "merge 'ties': with trim: global one threshold holds for all tensors, so density cannot differ between "
                "them; give one number, or one for each model, or set trim: per-tensor"
            )
        length = sum(math.prod(pieces.shape) for _, pieces in tensors)
        found = thresholds([pieces for _, pieces in tensors], [
            TopK(model, number_kept(density, length))
            for densities_ in densities
            for model, density in enumerate(densities_)
        ])  # fmt: skip
        return TrimmedTies(self.settings, {place.name: of for (place, _), of in zip(tensors, found, strict=True)})


@dataclass(frozen=True)
class TrimmedTies:
    """See `Ties`; where each model is trimmed is known. thresholds: by the name of a tensor, one per model."""

    settings: Ties
    thresholds: dict[str, list[Threshold]]
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the merge of what is left of each model."""
        return merge_trimmed(self.settings, pieces, self.thresholds[place.name], weights, place)


def merge_trimmed(
    settings: Ties, pieces: Pieces, found: Sequence[Threshold], weights: Sequence[float], place: Place
) -> Callable[[Piece], Tensor]:
    """Make the function that elects signs and averages what the cuts leave of a piece."""

    def keeps(piece: Piece) -> list[Keep]:
        return [keep_largest(piece, threshold) for threshold in found]

    return add_task_vectors(
        "ties", weights, rescale_to_l1("ties", pieces, keeps) if settings.rescale == "l1" else keeps,
        elect="weighted" if settings.weigh_election else "plain",
        normalize=settings.normalize, lambda_=place.value(settings.lambda_),
    )  # fmt: skip


def number_kept(density: float, length: int) -> int:
    """Say how many of so many values a density keeps: at least one, unless it is 0."""
    return max(1, int(density * length)) if density > 0 and length else 0
