"""TIES: trim small changes, elect signs, average those who agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import Field, Strategy, TensorMerge
from aya_plugins.merges.consensus import merge_task_vectors, task_vectors

if TYPE_CHECKING:
    from torch import Tensor


class Ties(Strategy[TensorMerge]):
    """Keep each model's largest changes to the base, and average those that agree in sign.

    tau_i = theta_i - theta_base, of which the `density` largest in magnitude are kept; gamma = sign(sum_i w_i
    tau_i); theta = theta_base + lambda * mean of the tau_i that have sign gamma, by weight.

    Where the paper is open or practice differs:

    - Trimming is by tensor, as in mergekit; the authors' code trims each model's whole vector at one
      threshold. It keeps max(1, floor(density * n)) of n values; among equal magnitudes those that come first
      in the tensor.
    - The paper has no weights. Here, as in mergekit, they count in the average and, unless `weigh_election`
      is false, in the election.
    - The default density is the paper's 0.2. mergekit's is 1, which trims nothing.

    Source: Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708, algorithm 1.
    """

    imports = ("torch", "numpy")
    extra = "train"

    density: float = Field(
        0.2, gt=0, le=1, description="Share of each task vector that is kept, by tensor; 1 keeps all."
    )
    lambda_: float = Field(1.0, description="Scale of the merged task vector, lambda in the paper.")
    weigh_election: bool = Field(True, description="Let weights count in the election of signs, as in mergekit.")
    normalize: bool = Field(
        True, description="Divide by the weights of those who agree; false sums (no disjoint mean)."
    )

    def build(self) -> TensorMerge:
        """Make the merge."""
        return TiesMerge(self)


@dataclass(frozen=True)
class TiesMerge:
    """See `Ties`."""

    settings: Ties
    needs_base = True

    def __call__(self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, key: int) -> Tensor:
        """Return the merge of one tensor. Raises AyaError without a base."""
        settings = self.settings
        vectors = task_vectors("ties", tensors, base)
        assert base is not None
        for vector in vectors:
            trim(vector, settings.density)
        return merge_task_vectors(
            base, vectors, weights,
            weigh_election=settings.weigh_election, normalize=settings.normalize, lambda_=settings.lambda_,
        )  # fmt: skip


def trim(vector: Tensor, density: float) -> None:
    """Keep, in place, the max(1, floor(density * n)) largest magnitudes; of equal ones, the first."""
    import numpy as np

    flat = vector.view(-1)
    length = flat.numel()
    kept = max(1, int(density * length))
    if kept >= length:
        return
    # Selection, not a sort; numpy's is some thirty times faster than torch.kthvalue on a CPU.
    magnitudes = flat.abs()
    threshold = float(np.partition(magnitudes.numpy(), length - kept)[length - kept])
    if threshold == 0:  # fewer values than `kept` differ from zero, and all of them stay
        return
    keep = magnitudes > threshold
    at_threshold = (magnitudes == threshold).nonzero().view(-1)
    keep[at_threshold[: kept - int(keep.sum())]] = True
    flat.masked_fill_(~keep, 0.0)
