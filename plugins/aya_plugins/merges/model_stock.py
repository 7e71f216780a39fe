"""Model stock: average fine-tuned models, and pull the average towards the base by how little they agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, MergeStrategy, Piece, PieceMerge, Pieces, Place
from aya_plugins.merges.differences import base_of, task_vectors
from aya_plugins.merges.gram import combination_from, gram
from aya_plugins.merges.refusals import refuse_number, refuse_weights

if TYPE_CHECKING:
    from torch import Tensor


class ModelStock(MergeStrategy):
    """Interpolate between the base and the models' average, by the angle between the models' changes.

    theta = t mean_i theta_i + (1 - t) theta_base with t = N cos / (1 + (N - 1) cos), where cos is the mean cosine between
    the changes theta_i - theta_base of two of the N models, in each tensor. N models that agree (cos 1) give their average,
    models whose changes are orthogonal give the base.

    It takes two models or more and a base. Weights are refused unless they are equal. Where practice differs: the paper has
    two models in its main text and any N in its appendix; where 1 + (N - 1) cos is within 1e-6 of 0 t is 0, as in mergekit;
    a change of zeros is orthogonal to all (mergekit takes changes whose lengths multiply to less than 1e-6 to be nearly so).

    Source: Jang et al. 2024, "Model Stock", arXiv 2403.19522, section 4 and appendix.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"
    needs_base = True
    least_models = 2

    filter_wise: bool = Field(False, description="Take the angle in each row of a tensor (its last dimension) instead.")

    def check_weights(self, weights: Sequence[float]) -> None:
        """See `MergeStrategy`."""
        refuse_weights("model-stock", weights, "drop them, or use 'weighted'")

    def build(self) -> PieceMerge:
        """Make the merge."""
        return ModelStockMerge(self, whole_rows=self.filter_wise)


@dataclass(frozen=True)
class ModelStockMerge:
    """See `ModelStock`."""

    settings: ModelStock
    whole_rows: bool
    needs_base = True

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Return the merge. Raises AyaError for fewer than two models, for unequal weights, and without a base."""
        models = len(weights)
        if models < 2:
            refuse_number("model-stock", models, "two or more beside the base", "add models, or use 'task-arithmetic'")
        self.settings.check_weights(weights)
        if self.settings.filter_wise:
            return by_row
        products = gram(pieces, from_base="model-stock")
        lengths = [math.sqrt(products[i][i]) for i in range(models)]
        cosines = [cosine(products[i][j], lengths[i] * lengths[j]) for i in range(models) for j in range(i + 1, models)]
        share = ratio(math.fsum(cosines) / len(cosines), models)
        return combination_from("model-stock", [share / models] * models)


def cosine(product: float, lengths: float) -> float:
    """Divide an inner product by the product of the lengths; 0 where one is 0."""
    return max(-1.0, min(1.0, product / lengths)) if lengths > 0 else 0.0


def ratio(cosine: float, models: int) -> float:
    """Give t of the models' average."""
    divisor = 1 + (models - 1) * cosine
    return 0.0 if abs(divisor) < 1e-6 else models * cosine / divisor


def by_row(piece: Piece) -> Tensor:
    """Merge whole rows, each with its own t."""
    import torch

    base, vectors = base_of("model-stock", piece), [vector.double() for vector in task_vectors("model-stock", piece)]
    models = range(len(vectors))
    products = [[_row_sums(vectors[i] * vectors[j]) for j in models[: i + 1]] for i in models]
    shares = [
        ratio(
            math.fsum(
                cosine(products[i][j][row], math.sqrt(products[i][i][row] * products[j][j][row]))
                for i in models
                for j in models[:i]
            )
            / (len(models) * (len(models) - 1) / 2),
            len(models),
        )
        for row in range(len(base))
    ]
    total = vectors[0]
    for vector in vectors[1:]:
        total = total + vector
    each = torch.tensor(shares, dtype=torch.float64, device=base.device) / len(models)
    return (base.double() + total * each[:, None]).to(torch.float32)


def _row_sums(values: Tensor) -> list[float]:
    # numpy's: torch may cut a sum by its number of threads, which moves the last bits
    sums: list[float] = values.cpu().numpy().sum(axis=1).tolist()
    return sums
