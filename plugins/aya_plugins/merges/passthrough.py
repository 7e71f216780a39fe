"""One model as it is, or scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.gram import combination
from aya_plugins.merges.refusals import refuse_number, refuse_weights

if TYPE_CHECKING:
    from torch import Tensor


class Passthrough(MergeStrategy):
    """Take the tensors of one model, for stacking layers, changing dtype or scaling.

    theta = scale * theta_1. It takes one model, or one in each part of a merge in parts.

    Source: mergekit's `passthrough`.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"
    most_models = 1

    scale: MergeParameter = Field(MergeParameter(1.0), description="Multiply each tensor; by rules, only some of them.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        refuse_weights("passthrough", [*weights, 1.0], "drop them and set scale")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return PassthroughMerge(self)


@dataclass(frozen=True)
class PassthroughMerge:
    """See `Passthrough`."""

    settings: Passthrough
    needs_base = False

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the tensor, scaled. Raises AyaError for more than one model, and for a weight."""
        if len(weights) != 1:
            refuse_number("passthrough", len(weights), "one", "merge them with 'weighted'")
        self.settings.check_weights(weights)
        (scale,) = place.values(self.settings.scale)
        return combination([scale])
