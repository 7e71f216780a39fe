"""DARE: drop changes at random, rescale what is left, and add it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.dare import drop_and_rescale
from aya_plugins.merges.differences import Density, Rescale, add_task_vectors, check_total

if TYPE_CHECKING:
    from torch import Tensor


class DareLinear(MergeStrategy):
    """Drop each model's changes to the base at random, rescale the rest, and add the weighted sum to the base.

    tau_i = m_i * (theta_i - theta_base) / density with m_i ~ Bernoulli(density); theta = theta_base + lambda *
    sum_i w_i tau_i. In expectation it is task arithmetic.

    Weights need not sum to one, as in `task-arithmetic`. `rescale`, the draws, a density of 0 and the default
    density are those of `dare-ties`.

    Source: Yu et al. 2023, "Language Models are Super Mario", arXiv 2311.03099, sections 3.1 and 3.2.
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    density: Density = Field(MergeParameter(0.2), description="Probability that a change is kept; the paper's 1 - p.")
    lambda_: MergeParameter = Field(
        MergeParameter(1.0), description="Scale of the merged task vector, lambda in task arithmetic."
    )
    rescale: Rescale = Field(
        "unbiased",
        description="Divide what is kept by density (unbiased), restore the L1 norm (l1, as mergekit), or neither.",
    )
    normalize: bool = Field(False, description="Divide by the sum of the weights; neither the paper nor mergekit does.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_total("dare-linear", weights)

    def build(self) -> PieceMerge:
        """Make the merge."""
        return DareLinearMerge(self)


@dataclass(frozen=True)
class DareLinearMerge:
    """See `DareLinear`."""

    settings: DareLinear
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Drop, and return the sum of what is left. Raises AyaError without a base, and where normalized weights sum
        to zero."""
        settings = self.settings
        keeps = drop_and_rescale("dare-linear", pieces, place.values(settings.density), settings.rescale, place)
        return add_task_vectors(
            "dare-linear", weights, keeps,
            elect="none", normalize=settings.normalize, lambda_=place.value(settings.lambda_),
        )  # fmt: skip
