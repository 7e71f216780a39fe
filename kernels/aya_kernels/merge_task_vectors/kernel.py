"""merge_task_vectors in Triton: base and models are read once, random words drawn on the way, the result written once.

Run in Triton's interpreter only, not on a GPU; the tests also compile it for one.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from aya_kernels.draws.kernel import as_int64, stream_word
from aya_kernels.merge_task_vectors.keep import ALL_WORDS, Keep, words_kept
from aya_kernels.merge_task_vectors.reference import factor_of_sum, keep_mask

_BLOCK = 1024


@triton.jit
def _merge_kernel(
    base, tensors, masks, weights, lows, highs, scales, streams, out, factor, length,
    DRAWS: tl.constexpr, MASKED: tl.constexpr, ELECTS: tl.constexpr, WEIGH_VOTES: tl.constexpr,
    NORMALIZE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum what votes plus and what votes minus apart, and choose when all votes are in.

    streams: key, start and words kept of each tensor, int64. DRAWS, MASKED: which tensors have some, as bits.
    """
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < length
    origin = tl.load(base + offsets, mask=inside, other=0.0)
    ballot = tl.zeros((BLOCK,), tl.float32)  # sum of the votes
    plus, minus = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    plus_weight, minus_weight = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(len(tensors)):
        tau = tl.load(tensors[i] + offsets, mask=inside, other=0.0) - origin
        magnitude = tl.abs(tau)
        kept = (magnitude >= lows[i]) & (magnitude <= highs[i])
        if (DRAWS >> i) & 1:
            numbers = streams + 4 * i
            key0 = tl.load(numbers).to(tl.uint64, bitcast=True)
            key1 = tl.load(numbers + 1).to(tl.uint64, bitcast=True)
            first = tl.load(numbers + 2).to(tl.uint64, bitcast=True)
            words = stream_word(key0, key1, first + offsets.to(tl.uint64))
            kept = kept & (words < tl.load(numbers + 3).to(tl.uint64, bitcast=True))
        tau = tl.where(kept, tau, 0.0)
        if (MASKED >> i) & 1:
            tau = tau * tl.load(masks[i] + offsets, mask=inside, other=0.0)
        tau = tau * scales[i]
        value = tau * weights[i]
        if ELECTS:
            vote = value if WEIGH_VOTES else tau
            ballot += vote
            plus += tl.where(vote > 0, value, 0.0)
            minus += tl.where(vote < 0, value, 0.0)
            plus_weight += tl.where(vote > 0, weights[i], 0.0)
            minus_weight += tl.where(vote < 0, weights[i], 0.0)
        else:
            plus += value
    total = plus
    if ELECTS:
        total = tl.where(ballot >= 0, plus, minus)
        if NORMALIZE:
            divisor = tl.where(ballot >= 0, plus_weight, minus_weight)
            total = tl.div_rn(total, tl.where(divisor == 0, 1.0, divisor))
    tl.store(out + offsets, origin + total * factor, mask=inside)


def triton_merge_task_vectors(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    keep: Sequence[Keep],
    elect: str | None,
    normalize: bool,
    lambda_: float,
) -> Tensor:
    """Compute what reference_merge_task_vectors defines, in one launch.

    Rules that count ties, which depend on all values before, become masks first. Products and sums stay two roundings
    on a GPU as well.
    """
    out = torch.empty(base.shape, device=base.device)
    if out.numel() == 0:  # an empty launch grid is an error on a GPU
        return out
    rules = [
        Keep(mask=keep_mask(tensor - base, rule), scale=rule.scale)
        if rule.low_ties is not None or rule.high_ties is not None
        else rule
        for tensor, rule in zip(tensors, keep, strict=True)
    ]
    streams = [number for rule in rules for number in (*rule.key, rule.start, words_kept(rule))]
    factor = factor_of_sum(weights, normalize, lambda_) if elect is None else lambda_
    with torch.cuda.device_of(out):
        _merge_kernel[(triton.cdiv(out.numel(), _BLOCK),)](
            base.reshape(-1),
            tuple(tensor.reshape(-1) for tensor in tensors),
            tuple((base if rule.mask is None else rule.mask).reshape(-1) for rule in rules),
            tuple(float(weight) for weight in weights),
            tuple(float(rule.low) for rule in rules),
            tuple(float(rule.high) for rule in rules),
            tuple(float(rule.scale) for rule in rules),
            as_int64(tuple(streams), out.device),
            out,
            float(factor),
            out.numel(),
            DRAWS=sum((words_kept(rule) < ALL_WORDS) << i for i, rule in enumerate(rules)),
            MASKED=sum((rule.mask is not None) << i for i, rule in enumerate(rules)),
            ELECTS=elect is not None,
            WEIGH_VOTES=elect == "weighted",
            NORMALIZE=normalize,
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return out
