"""DARE-TIES: drop changes at random, rescale what is left, then merge by sign as TIES does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.dare import drop_and_rescale
from aya_plugins.merges.differences import Density, Rescale, add_task_vectors, check_totals_of_voters

if TYPE_CHECKING:
    from torch import Tensor


class DareTies(MergeStrategy):
    """Drop each model's changes to the base at random, rescale the rest, average those that agree in sign.

    tau_i = m_i * (theta_i - theta_base) / density with m_i ~ Bernoulli(density); then gamma = sign(sum_i w_i
    tau_i) and theta = theta_base + lambda * mean of the tau_i that have sign gamma, by weight. Dropping
    stands in for the trimming of TIES.

    Where practice differs:

    - `rescale: unbiased` divides by density, as in the paper, so that the expectation of a task vector is the
      task vector itself. `l1` gives each tensor the L1 norm it had before dropping, which is what mergekit
      does; `none` is mergekit's `rescale: false`. A density of 0 drops everything, and nothing is rescaled.
    - The default density is our choice, the same as that of `ties`; mergekit's is 1, which drops nothing.
    - `normalize` is true as in TIES; mergekit's `dare_ties` sums instead, so that merging a model with its
      copies doubles its task vector.
    - Draws come from a Philox stream keyed by seed, tensor name and the model's place in the list: no thread,
      shard or machine moves them, the order of the models does. mergekit draws from torch's global generator.

    Source: Yu et al. 2023, "Language Models are Super Mario", arXiv 2311.03099, section 3.1 (drop and
    rescale); Yadav et al. 2023, arXiv 2306.01708, algorithm 1, steps 2 and 3 (signs).
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    density: Density = Field(MergeParameter(0.2), description="Probability that a change is kept; the paper's 1 - p.")
    lambda_: MergeParameter = Field(MergeParameter(1.0), description="Scale of the merged task vector, lambda in TIES.")
    rescale: Rescale = Field(
        "unbiased",
        description="Divide what is kept by density (unbiased), restore the L1 norm (l1, as mergekit), or neither.",
    )
    weigh_election: bool = Field(True, description="Let weights count in the election of signs, as in mergekit.")
    normalize: bool = Field(True, description="Divide by the weights of those who agree; false sums, as mergekit does.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_totals_of_voters("dare-ties", tuple(weights))

    def build(self) -> PieceMerge:
        """Make the merge."""
        return DareTiesMerge(self)


@dataclass(frozen=True)
class DareTiesMerge:
    """See `DareTies`."""

    settings: DareTies
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Drop, and return the merge of what is left. Raises AyaError without a base."""
        settings = self.settings
        keeps = drop_and_rescale("dare-ties", pieces, place.values(settings.density), settings.rescale, place)
        return add_task_vectors(
            "dare-ties", weights, keeps,
            elect="weighted" if settings.weigh_election else "plain",
            normalize=settings.normalize, lambda_=place.value(settings.lambda_),
        )  # fmt: skip
