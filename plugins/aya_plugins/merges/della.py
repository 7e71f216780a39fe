"""DELLA: drop changes at random, the small ones more often than the large ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import AyaError, Field, MergeParameter, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import Density, Elect, Rescale, add_task_vectors, check_totals, task_vectors
from aya_plugins.merges.rescaling import rescale_to_l1

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep


class Della(MergeStrategy):
    """Drop each model's changes at random, those of low rank more often, and merge the rest by sign.

    In each row of a tensor (its last dimension) changes are ranked by magnitude. With r from 0, the smallest, to 1,
    the largest, a change is kept with probability p = density + epsilon * (2 r - 1), and divided by p. Then models
    elect a sign for each parameter, and the average of those that agree is added to the base, as in TIES.

    Where practice differs:

    - `rescale: unbiased` divides by p, as in the paper, so that the expectation of a task vector is the task vector
      itself. `l1` gives each tensor the L1 norm it had before dropping, as mergekit does; `none` does neither.
    - epsilon is half the width of the range of p, as in mergekit; in the paper it is the whole width.
    - mergekit ranks tensors of three or more dimensions along the second; here rows are those of the last. Among
      equal magnitudes the first in a row is the lower. A row of one value is kept with probability density.
    - `elect: none` is mergekit's `della_linear`, which also sums (`normalize: false`).
    - The default density is that of our other merges; mergekit's is 1, which drops nothing. A density of 0 drops
      everything; neither 0 nor 1 looks at epsilon.
    - Draws come from a Philox stream as those of `dare-ties`, so that the two cannot be told apart at epsilon 0.

    Source: Deep et al. 2024, "DELLA-Merging", arXiv 2406.11617, section 3.
    """

    imports = ("torch", "numpy", "aya_kernels")
    extra = "train"
    needs_base = True

    density: Density = Field(
        MergeParameter(0.2), description="Mean probability that a change is kept; the paper's 1 - p."
    )
    epsilon: MergeParameter = Field(
        MergeParameter(0.15),
        ge=0,
        lt=1,
        description="How far the probability goes up and down with rank; within density.",
    )
    lambda_: MergeParameter = Field(
        MergeParameter(1.0), description="Scale of the merged task vector, lambda in the paper."
    )
    rescale: Rescale = Field(
        "unbiased",
        description="Divide what is kept by its probability (unbiased), restore the L1 norm (l1, as mergekit), or neither.",
    )
    elect: Elect = Field("weighted", description="Let models elect signs, by w_i tau_i (weighted) or tau_i (plain).")
    normalize: bool = Field(True, description="Divide by the weights of those who agree; false sums.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        if self.normalize:
            check_totals("della", weights, self.elect)

    def build(self) -> PieceMerge:
        """Make the merge."""
        return DellaMerge(self)


@dataclass(frozen=True)
class DellaMerge:
    """See `Della`."""

    settings: Della
    needs_base = True
    whole_rows = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the merge of what is not dropped. Raises AyaError without a base, and where epsilon takes a probability
        out of 0 to 1."""
        from aya_kernels import Keep

        settings = self.settings
        rates = list(zip(place.values(settings.density), place.values(settings.epsilon), strict=True))
        for density, epsilon in rates:
            if 0 < density < 1 and not epsilon < min(density, 1 - density):
                raise AyaError(
                    f"merge 'della': density {density} and epsilon {epsilon} give probabilities from "
                    f"{density - epsilon:.3g} to {density + epsilon:.3g} for '{place.name}'; "
                    "lower epsilon until they lie between 0 and 1"
                )

        def keeps(piece: Piece) -> list[Keep]:
            vectors = task_vectors("della", piece)
            return [
                Keep(density=density)
                if density in (0, 1)
                else Keep(mask=_mask(vector, density, epsilon, (place.key, model), piece.start, settings.rescale))
                for model, (vector, (density, epsilon)) in enumerate(zip(vectors, rates, strict=True))
            ]

        return add_task_vectors(
            "della", weights, rescale_to_l1("della", pieces, keeps) if settings.rescale == "l1" else keeps,
            elect=settings.elect, normalize=settings.normalize, lambda_=place.value(settings.lambda_),
        )  # fmt: skip


def _mask(vector: Tensor, density: float, epsilon: float, key: tuple[int, int], start: int, rescale: Rescale) -> Tensor:
    """Draw what is kept of whole rows: 0, or 1, or, where it makes the mean the value itself, 1 / p."""
    import torch

    from aya_kernels import draws

    chances = probabilities(vector.shape[-1], density, epsilon)
    below = (chances * 2**32).round().to(torch.int64).to(vector.device)
    value = (1 / chances if rescale == "unbiased" else torch.ones_like(chances)).to(torch.float32).to(vector.device)
    words = draws(key, start, vector.numel(), device=vector.device).view(vector.shape)
    order = by_rank(vector)
    kept = (words.gather(-1, order) < below) * value
    return torch.empty_like(kept).scatter_(-1, order, kept)


def probabilities(columns: int, density: float, epsilon: float) -> Tensor:
    """Give the probability of each rank in a row, the lowest first: shape (columns,), float64."""
    import torch

    if columns == 1:
        return torch.tensor([density], dtype=torch.float64)
    return torch.linspace(density - epsilon, density + epsilon, columns, dtype=torch.float64)


def by_rank(vector: Tensor) -> Tensor:
    """List the places of each row by magnitude, the smallest first, and of equals the first: int64, of the vector's shape."""
    import numpy as np
    import torch

    if vector.device.type != "cpu":
        return vector.abs().argsort(dim=-1, stable=True)
    # Sorting (bits of the magnitude, place) as whole numbers is eight times as fast as torch's stable sort.
    keys = vector.abs().view(torch.int32).numpy().astype(np.int64)
    keys <<= 32
    keys |= np.arange(vector.shape[-1])
    keys.sort(axis=-1)
    return torch.from_numpy(keys & 0xFFFFFFFF)
