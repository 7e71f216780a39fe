"""The weighted average of models: the merge that Aya Expanse settled on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import check_total
from aya_plugins.merges.gram import combination

if TYPE_CHECKING:
    from torch import Tensor


class Weighted(MergeStrategy):
    """Average models, each with its weight.

    theta = sum_i w_i theta_i / sum_i w_i, in float32, in the order of the models.

    Weights need not sum to one: they are divided by their sum. With `normalize: false` they are taken as they
    are, and weights that do not sum to one change the scale of the model.

    Source: Wortsman et al. 2022, "Model soups", arXiv 2203.05482, section 2; the merge of Aya Expanse, arXiv
    2412.04261, section 2.3. The same as mergekit's `linear`.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"

    normalize: bool = Field(True, description="Divide the weights by their sum; false takes them as they are.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_total("weighted", weights)

    def build(self) -> PieceMerge:
        """Make the merge."""
        return WeightedMerge(self)


@dataclass(frozen=True)
class WeightedMerge:
    """See `Weighted`."""

    settings: Weighted
    needs_base = False

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the weighted average. Raises AyaError where normalized weights sum to zero."""
        if not self.settings.normalize:
            return combination(weights)
        self.settings.check_weights(weights)
        total = sum(weights)
        return combination([weight / total for weight in weights])
