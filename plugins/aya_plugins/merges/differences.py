"""What merges share that work on differences from a base: task vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
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


LEAST_TOTAL = 1e-3
"""A sum of weights smaller than this share of their magnitudes is one that cancels: dividing by it would make the merge a
thousand times as large as the models, and of a sum like 0.1 + 0.2 - 0.3 only rounding is left."""

_MOST_VOTERS = 12
"""So many models' weights are looked at in all combinations; more of them are looked at together only."""


def check_total(name: str, weights: Sequence[float], remedy: str = "change them, or set normalize: false") -> None:
    """Refuse weights that cannot be divided by their sum. Raises AyaError where that is 0, or nearly so beside the weights."""
    if cancels(weights):
        raise AyaError(
            f"merge '{name}': weights {list(weights)} sum to {_near_zero(weights)} and cannot be normalized; {remedy}"
        )


@cache
def check_totals_of_voters(name: str, weights: tuple[float, ...]) -> None:
    """Refuse weights of which some cancel where models that agree are divided by the sum of theirs. Raises AyaError.

    Two that cancel exactly, as 1 and -1, are let pass: their sum of 0 is taken as 1, as mergekit does.
    """
    if min(weights) >= 0 or max(weights) <= 0:
        return
    sizes = range(2, len(weights) + 1) if len(weights) <= _MOST_VOTERS else [len(weights)]
    for some in (some for size in sizes for some in combinations(weights, size)):
        if cancels(some) and math.fsum(some) != 0:
            raise AyaError(
                f"merge '{name}': weights {list(some)} sum to {_near_zero(some)} and cannot be normalized where these models agree; "
                "change them, or set normalize: false"
            )


def check_totals(name: str, weights: Sequence[float], elect: Elect) -> None:
    """Refuse weights that are divided by their sum, or after an election by that of those who agree, and cancel. Raises AyaError."""
    check_total(name, weights) if elect == "none" else check_totals_of_voters(name, tuple(weights))


def cancels(weights: Sequence[float]) -> bool:
    """Whether weights sum to nothing beside their size."""
    return abs(math.fsum(weights)) <= LEAST_TOTAL * math.fsum(map(abs, weights))


def _near_zero(weights: Sequence[float]) -> str:
    total = math.fsum(weights)
    return "0" if total == 0 else f"{total:.2g}, next to nothing beside them,"


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
    that agree. Raises AyaError where w_i that are summed cancel.
    """
    if normalize:
        check_totals(name, weights, elect)

    def merged(piece: Piece) -> Tensor:
        from aya_kernels import merge_task_vectors

        return merge_task_vectors(
            base_of(name, piece), piece.models, weights, keep=keeps(piece),
            elect=None if elect == "none" else elect, normalize=normalize, lambda_=lambda_,
        )  # fmt: skip

    return merged
