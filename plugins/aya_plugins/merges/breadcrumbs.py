"""Model breadcrumbs: drop the largest changes as well as the smallest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import Density, Elect, add_task_vectors, check_totals
from aya_plugins.merges.rescaling import rescale_to_l1
from aya_plugins.merges.selection import TopK, keep_largest, thresholds

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep


class Breadcrumbs(MergeStrategy):
    """Drop each model's largest and smallest changes to the base, and add the rest.

    tau_i = m_i * (theta_i - theta_base), where m_i is 0 for the `gamma` largest magnitudes of a tensor and for so
    many of the smallest that `density` are kept; theta = theta_base + lambda * sum_i w_i tau_i.

    Where practice differs, as mergekit: density wins over gamma, so that density 1 drops nothing, and both are
    rounded down to whole numbers of values. Of equal magnitudes, those that come first in the tensor count as
    larger. With `elect` models first agree on a sign, as in TIES (mergekit's `breadcrumbs_ties`). Weights need not
    sum to one, as in `task-arithmetic`. A density of 0 keeps nothing. The paper keeps about a tenth; the default
    density is that of our other merges, mergekit's is 1.

    Source: Davari and Belilovsky 2023, "Model Breadcrumbs", arXiv 2312.06795, section 3.
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    density: Density = Field(
        MergeParameter(0.2), description="Share of each tensor's changes that is kept; 1 keeps all."
    )
    gamma: MergeParameter = Field(
        MergeParameter(0.01), ge=0, lt=1, description="Share of the largest changes that is dropped."
    )
    lambda_: MergeParameter = Field(
        MergeParameter(1.0), description="Scale of the merged task vector; the paper's alpha."
    )
    rescale: Literal["none", "l1"] = Field(
        "none", description="Give what is kept of a tensor the L1 norm of all of it (l1, mergekit's rescale: true)."
    )
    elect: Elect = Field(
        "none", description="Let models elect signs, by w_i tau_i (weighted) or tau_i (plain), before adding."
    )
    normalize: bool = Field(False, description="Divide by the sum of the weights (of those who agree).")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_totals("breadcrumbs", weights, self.elect)

    def build(self) -> PieceMerge:
        """Make the merge."""
        return BreadcrumbsMerge(self)


@dataclass(frozen=True)
class BreadcrumbsMerge:
    """See `Breadcrumbs`."""

    settings: Breadcrumbs
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Find both ends of what is kept, and return the merge. Raises AyaError without a base."""
        settings = self.settings
        length = math.prod(pieces.shape)
        wanted = []
        for model, (density, gamma) in enumerate(
            zip(place.values(settings.density), place.values(settings.gamma), strict=True)
        ):
            kept = int(density * length)
            dropped = min(int(gamma * length), length - kept)
            wanted += [TopK(model, dropped + kept if kept else 0), TopK(model, dropped if kept else 0)]
        (found,) = thresholds([pieces], wanted)

        def keeps(piece: Piece) -> list[Keep]:
            return [
                keep_largest(piece, threshold, but=largest)
                for threshold, largest in zip(found[::2], found[1::2], strict=True)
            ]

        return add_task_vectors(
            "breadcrumbs", weights, rescale_to_l1("breadcrumbs", pieces, keeps) if settings.rescale == "l1" else keeps,
            elect=settings.elect, normalize=settings.normalize, lambda_=place.value(settings.lambda_),
        )  # fmt: skip
