"""Merge the changes that models made to a base: trim each, let them elect a sign, and add what agrees."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from aya_kernels.draws import check_stream
from aya_kernels.merge_task_vectors.blocked import blocked_merge_task_vectors
from aya_kernels.merge_task_vectors.keep import KEEP_ALL, Keep
from aya_kernels.merge_task_vectors.reference import reference_merge_task_vectors, weights_that_count
from aya_kernels.shared.checks import check_float32
from aya_kernels.shared.dispatch import Backend, choose_backend

__all__ = ["Keep", "merge_task_vectors"]

# The kernel's loop over inputs is unrolled.
_MOST_IN_ONE_KERNEL = 16


def merge_task_vectors(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    *,
    keep: Sequence[Keep] | None = None,
    elect: Literal["weighted", "plain"] | None = None,
    normalize: bool = False,
    lambda_: float = 1.0,
    backend: Backend = "auto",
) -> Tensor:
    """Add the merged task vectors to the base, in one pass.

    A task vector is tau_i = keep_i(tensors[i] - base). Without an election the result is
    base + lambda * sum_i w_i tau_i, divided by sum_i w_i if normalize. With one, every value has a sign of its own:
    plus where sum_i w_i tau_i >= 0 ("weighted") or sum_i tau_i >= 0 ("plain"), else minus; and only the w_i tau_i
    whose vote has strictly this sign are added, divided by the sum of their w_i if normalize. A value that nobody
    changes stays the base's. A divisor of 0 is taken as 1; without an election, so is one within 1e-8 of 0. In a
    normalized election equal weights above 0 cancel, and are taken as 1.

    base, tensors: float32, finite, one shape and device. Never modified.
    weights: one finite number for each tensor, of any sign.
    keep: what is kept of each task vector; None keeps all. Everything in it is meant for these very tensors: for a
        piece of a larger tensor, the caller moves `start` and counts ties.
    backend: "auto" is Triton on CUDA tensors, up to 16, and torch elsewhere. The Triton kernel has been run in the
        interpreter only, not on a GPU.

    Returns a new contiguous tensor of the base's shape, without gradient. Products and sums are float32, each
    rounded: no value depends on threads or on how a tensor is cut.

    Saves: the plain expression makes several copies of every task vector; this needs the result and, on CPU, a few
    cache-sized blocks that each thread keeps. Safe in several threads at once.

    Raises ValueError for unequal counts, shapes, devices or dtypes, numbers outside their range, and for a backend
    that cannot run here.

    Source: Ilharco et al. 2022, "Editing models with task arithmetic", arXiv 2212.04089, section 2; Yadav et al. 2023,
    "TIES-Merging", arXiv 2306.01708, algorithm 1, steps 2 and 3, where all w_i are 1.
    """
    rules = [KEEP_ALL] * len(tensors) if keep is None else keep
    _check(base, tensors, weights, rules, elect, lambda_)
    weights = weights_that_count(weights, elect, normalize)
    if choose_backend(backend, [base], op="merge_task_vectors") == "triton":
        if len(tensors) <= _MOST_IN_ONE_KERNEL:
            from aya_kernels.merge_task_vectors.kernel import triton_merge_task_vectors as compute
        elif backend == "triton":
            raise ValueError(
                f"merge_task_vectors: backend 'triton' takes up to {_MOST_IN_ONE_KERNEL} tensors; got {len(tensors)}"
            )
        else:
            compute = reference_merge_task_vectors
    elif base.device.type == "cpu":
        compute = blocked_merge_task_vectors
    else:
        compute = reference_merge_task_vectors
    with torch.no_grad():
        return compute(base, tensors, weights, rules, elect, normalize, lambda_).contiguous()


def _check(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    rules: Sequence[Keep],
    elect: str | None,
    lambda_: float,
) -> None:
    op = "merge_task_vectors"
    if not len(tensors) == len(weights) == len(rules) > 0:
        raise ValueError(
            f"{op}: got {len(tensors)} tensors, {len(weights)} weights and {len(rules)} keep rules; expected one of "
            "each per model and at least one model"
        )
    check_float32(
        op,
        [
            ("base", base),
            *((f"tensor {i}", tensor) for i, tensor in enumerate(tensors)),
            *((f"the mask of keep[{i}]", rule.mask) for i, rule in enumerate(rules)),
        ],
    )
    for what, number in [("lambda_", lambda_), *((f"weight {i}", weight) for i, weight in enumerate(weights))]:
        if not math.isfinite(number):
            raise ValueError(f"{op}: {what} is {number}; expected a finite number")
    for i, rule in enumerate(rules):
        check_stream(f"{op}: keep[{i}]", rule.key, rule.start)
        if not 0 <= rule.density <= 1:
            raise ValueError(f"{op}: keep[{i}].density is {rule.density}; expected 0 to 1")
        if not math.isfinite(rule.scale):
            raise ValueError(f"{op}: keep[{i}].scale is {rule.scale}; expected a finite number")
        if math.isnan(rule.low) or math.isnan(rule.high):
            raise ValueError(f"{op}: keep[{i}] has bounds {rule.low} to {rule.high}; expected numbers")
    if elect not in (None, "weighted", "plain"):
        raise ValueError(f"{op}: elect is {elect!r}; expected 'weighted', 'plain' or None")
