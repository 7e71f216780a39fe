"""NearSwap: take over another model's values where they are near."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import base_of
from aya_plugins.merges.refusals import refuse_number, refuse_weights

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = 1e-6
"""Values nearer than this count as this far apart, as in mergekit."""


class NearSwap(MergeStrategy):
    """Move the base to one other model, by at most t in each parameter.

    theta = (1 - w) theta_base + w theta_1 with w = min(1, t / |theta_base - theta_1|): a value within t of the base's
    is taken over, one further away pulls the base's by t.

    It takes one model and a base. Merging the base with itself gives it. The default t is that of the model that the
    method was made for.

    Source: alchemonaut 2024, "QuartetAnemoi-70B-t0.0001", https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001.
    """

    imports = ("torch",)
    extra = "train"
    needs_base = True
    most_models = 1

    t: MergeParameter = Field(
        MergeParameter(0.0001), gt=0, description="How far a value may move, in the units of the weights."
    )

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        refuse_weights("nearswap", [*weights, 1.0], "drop them and set t")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return NearSwapMerge(self)


@dataclass(frozen=True)
class NearSwapMerge:
    """See `NearSwap`."""

    settings: NearSwap
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the base, moved. Raises AyaError for more than one model, a weight, and without a base."""
        if len(weights) != 1:
            refuse_number("nearswap", len(weights), "one beside the base", "name the other as `base:`")
        self.settings.check_weights(weights)
        t = place.value(self.settings.t)

        def merged(piece: Piece) -> Tensor:
            base, (model,) = base_of("nearswap", piece), piece.models
            share = (base - model).abs_().clamp_(min=NEAREST).reciprocal_().mul_(t).clamp_(max=1)
            return (share * model).add_((1 - share).mul_(base))

        return merged
