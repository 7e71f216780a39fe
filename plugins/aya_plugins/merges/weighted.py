"""The weighted average of models: the merge that Aya Expanse settled on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_core.api import AyaError, Field, Strategy, TensorMerge

if TYPE_CHECKING:
    from torch import Tensor


class Weighted(Strategy[TensorMerge]):
    """Average models, each with its weight.

    theta = sum_i w_i theta_i / sum_i w_i, in float32, in the order of the models.

    Source: Wortsman et al. 2022, "Model soups", arXiv 2203.05482, section 2; the merge of Aya Expanse, arXiv
    2412.04261, section 2.3. The same as mergekit's `linear`.
    """

    imports = ("torch", "aya_kernels")
    extra = "train"

    normalize: bool = Field(True, description="Divide the weights by their sum; false takes them as they are.")

    def build(self) -> TensorMerge:
        """Make the merge."""
        return WeightedMerge(self)


@dataclass(frozen=True)
class WeightedMerge:
    """See `Weighted`."""

    settings: Weighted
    needs_base = False
    is_elementwise = True

    def __call__(self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, key: int) -> Tensor:
        """Return the weighted average of one tensor. Raises AyaError where normalised weights sum to zero."""
        from aya_kernels import weighted_sum

        total = sum(weights) if self.settings.normalize else 1.0
        if total == 0:
            raise AyaError(
                f"merge 'weighted': weights {list(weights)} sum to 0 and cannot be normalised; "
                "change them, or set normalize: false"
            )
        return weighted_sum(tensors, [weight / total for weight in weights])
