"""What merges share that work on differences from a base: task vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from aya_core.api import AyaError, Field, MergeParameter, Piece

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep


def _keeps_something(density: MergeParameter) -> MergeParameter:
    if not any(density.numbers):
        raise ValueError(
            "density 0 keeps nothing of any model, and the merge would be the base; "
            "raise it, or give 0 to some models or tensors only"
        )
    return density


Density = Annotated[MergeParameter, Field(ge=0, le=1), AfterValidator(_keeps_something)]
"""What share of a task vector is kept. Some of it may be 0, which keeps nothing there; all of it may not."""

Rescale = Literal["unbiased", "l1", "none"]
"""How what is kept makes up for what is dropped."""

Elect = Literal["weighted", "plain", "none"]
"""Whether models elect a sign for each parameter: by w_i tau_i, by tau_i, or not at all."""


def base_of(name: str, piece: Piece) -> Tensor:
    """Give the base's part of a piece. name: of the merge, for the message. Raises AyaError where there is none."""
    if piece.base is None:
        raise AyaError(f"merge '{name}' works on differences from a base model; name it with `base:`")
    return piece.base


def task_vectors(name: str, piece: Piece) -> list[Tensor]:
    """Subtract the base from each model: tau_i = theta_i - theta_base, new float32 tensors."""
    base = base_of(name, piece)
    return [model - base for model in piece.models]


def check_total(name: str, weights: Sequence[float]) -> None:
    """Refuse weights that cannot be divided by their sum."""
    if sum(weights) == 0:
        raise AyaError(
            f"merge '{name}': weights {list(weights)} sum to 0 and cannot be normalized; "
            "change them, or set normalize: false"
        )


def add_task_vectors(
    name: str,
    weights: Sequence[float],
    keeps: Callable[[Piece], Sequence[Keep]],
    *,
    elect: Elect,
    normalize: bool,
    lambda_: float,
) -> Callable[[Piece], Tensor]:
    """Make the function that adds what is kept of each task vector of a piece to the base.

    It is theta_base + lambda * sum_i w_i tau_i. normalize: divide by the sum of the w_i; after an election, of those
    that agree. Raises AyaError where the w_i sum to zero and all count.
    """
    if normalize and elect == "none":
        check_total(name, weights)

    def merged(piece: Piece) -> Tensor:
        from aya_kernels import merge_task_vectors

        return merge_task_vectors(
            base_of(name, piece), piece.models, weights, keep=keeps(piece),
            elect=None if elect == "none" else elect, normalize=normalize, lambda_=lambda_,
        )  # fmt: skip

    return merged
