"""Task arithmetic: add what fine-tuning changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import add_task_vectors, check_total

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep


class TaskArithmetic(MergeStrategy):
    """Add the weighted sum of each model's changes to the base.

    theta = theta_base + lambda * sum_i w_i (theta_i - theta_base).

    Weights need not sum to one: two models of weight 1 both count in full. `normalize` divides by the sum of the
    weights, as mergekit can; the paper does not. A negative weight takes a task away. Merging a model with itself
    gives it where lambda times the sum of the weights is 1, as with `normalize`.

    Source: Ilharco et al. 2022, "Editing models with task arithmetic", arXiv 2212.04089, section 2.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"
    needs_base = True

    lambda_: MergeParameter = Field(
        MergeParameter(1.0), description="Scale of the merged task vector, lambda in the paper."
    )
    normalize: bool = Field(False, description="Divide by the sum of the weights; the paper does not.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_total("task-arithmetic", weights)

    def build(self) -> PieceMerge:
        """Make the merge."""
        return TaskArithmeticMerge(self)


@dataclass(frozen=True)
class TaskArithmeticMerge:
    """See `TaskArithmetic`."""

    settings: TaskArithmetic
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the sum. Raises AyaError without a base, and where normalized weights sum to zero."""
        from aya_kernels import Keep

        def keeps(piece: Piece) -> list[Keep]:
            return [Keep()] * len(piece.models)

        return add_task_vectors(
            "task-arithmetic", weights, keeps,
            elect="none", normalize=self.settings.normalize, lambda_=place.value(self.settings.lambda_),
        )  # fmt: skip
