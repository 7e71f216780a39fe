"""DARE-TIES: drop changes at random, rescale what is left, then merge by sign as TIES does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aya_core.api import Field, Strategy, TensorMerge
from aya_plugins.merges.consensus import merge_task_vectors, task_vectors
from aya_plugins.merges.sums import ordered_sum, pieces

if TYPE_CHECKING:
    from torch import Tensor


class DareTies(Strategy[TensorMerge]):
    """Drop each model's changes to the base at random, rescale the rest, average those that agree in sign.

    tau_i = m_i * (theta_i - theta_base) / density with m_i ~ Bernoulli(density); then gamma = sign(sum_i w_i
    tau_i) and theta = theta_base + lambda * mean of the tau_i that have sign gamma, by weight. Dropping
    stands in for the trimming of TIES.

    Where practice differs:

    - `rescale: unbiased` divides by density, as in the paper, so that the expectation of a task vector is the
      task vector itself. `l1` gives each tensor the L1 norm it had before dropping, which is what mergekit
      does.
    - The default density is our choice, the same as that of `ties`; mergekit's is 1, which drops nothing.
    - `normalize` is true as in TIES; mergekit's `dare_ties` sums instead, so that merging a model with its
      copies doubles its task vector.
    - Draws come from a Philox stream keyed by seed, tensor name and the model's place in the list: no thread,
      shard or machine moves them, the order of the models does. mergekit draws from torch's global generator.

    Source: Yu et al. 2023, "Language Models are Super Mario", arXiv 2311.03099, section 3.1 (drop and
    rescale); Yadav et al. 2023, arXiv 2306.01708, algorithm 1, steps 2 and 3 (signs).
    """

    imports = ("torch", "numpy")
    extra = "train"

    density: float = Field(0.2, gt=0, le=1, description="Probability that a change is kept; the paper's 1 - p.")
    lambda_: float = Field(1.0, description="Scale of the merged task vector, lambda in TIES.")
    rescale: Literal["unbiased", "l1"] = Field(
        "unbiased",
        description="Divide what is kept by density (unbiased), or restore the L1 norm (l1, as mergekit).",
    )
    weigh_election: bool = Field(True, description="Let weights count in the election of signs, as in mergekit.")
    normalize: bool = Field(True, description="Divide by the weights of those who agree; false sums, as mergekit does.")

    def build(self) -> TensorMerge:
        """Make the merge."""
        return DareTiesMerge(self)


@dataclass(frozen=True)
class DareTiesMerge:
    """See `DareTies`."""

    settings: DareTies
    needs_base = True

    def __call__(self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, key: int) -> Tensor:
        """Return the merge of one tensor. Raises AyaError without a base."""
        settings = self.settings
        vectors = task_vectors("dare-ties", tensors, base)
        assert base is not None
        for index, vector in enumerate(vectors):
            drop_and_rescale(vector, settings.density, settings.rescale, (key, index))
        return merge_task_vectors(
            base, vectors, weights,
            weigh_election=settings.weigh_election, normalize=settings.normalize, lambda_=settings.lambda_,
        )  # fmt: skip


def drop_and_rescale(vector: Tensor, density: float, rescale: Literal["unbiased", "l1"], key: tuple[int, int]) -> None:
    """Zero each value with probability 1 - density and scale the rest, in place. key: two 64-bit numbers."""
    import numpy as np
    import torch

    if density == 1:
        return
    flat = vector.view(-1)
    before = ordered_sum([flat.abs()]) if rescale == "l1" else 0.0
    # torch's own CPU generator keeps 32 bits of its seed; Philox takes 128, and is the same on every machine.
    draws = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))
    for piece in pieces(flat.numel()):
        kept = torch.from_numpy(draws.random(piece.stop - piece.start, dtype=np.float32) < density)
        flat[piece] *= kept
    after = ordered_sum([flat.abs()]) if rescale == "l1" else 0.0
    if rescale == "unbiased":
        flat /= density
    elif after > 0:
        flat *= before / after
