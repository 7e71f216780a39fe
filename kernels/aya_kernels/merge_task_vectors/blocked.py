"""merge_task_vectors on CPU, one cache-sized block at a time.

Every step is an operation of numpy or torch, whichever is faster, that writes where it is told. Arrays of bool meet
floats only where it cannot be helped: to multiply with one costs twice a product, to fill by one thirty times.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aya_kernels.draws.stream import stream_words
from aya_kernels.merge_task_vectors.keep import ALL_WORDS, Keep, words_kept
from aya_kernels.merge_task_vectors.reference import factor_of_sum
from aya_kernels.shared.scratch import Row, scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Task vectors of a few models, and what is summed, stay in a level-2 cache of 1 or 2 MiB; with fewer values, calls would
# cost as much as the arithmetic.
_VALUES_PER_BLOCK = 1 << 15
_SIGN_BIT = np.uint32(1 << 31)
_MOST_COUNTED = 255


def blocked_merge_task_vectors(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    keep: Sequence[Keep],
    elect: str | None,
    normalize: bool,
    lambda_: float,
) -> Tensor:
    """Compute what reference_merge_task_vectors defines, bit for bit."""
    out = torch.empty(base.shape)
    length = base.numel()
    base_values, out_values = base.detach().reshape(-1).numpy(), out.view(-1).numpy()
    models = [tensor.detach().reshape(-1).numpy() for tensor in tensors]
    trims = [Trim(rule) for rule in keep]
    factor = np.float32(factor_of_sum(weights, normalize, lambda_) if elect is None else lambda_)
    rows = scratch(len(tensors) + 3, _VALUES_PER_BLOCK)
    for start in range(0, length, _VALUES_PER_BLOCK):
        stop = min(start + _VALUES_PER_BLOCK, length)
        if stop - start < _VALUES_PER_BLOCK:
            rows = [row.cut(stop - start) for row in rows]
        spare, elected, divisor, *taus = rows
        origin = base_values[start:stop]
        for tau, model, trim in zip(taus, models, trims, strict=True):
            np.subtract(model[start:stop], origin, tau.values)
            trim(tau, start, spare)
        if elect != "plain":
            _weigh(taus, weights)
        if elect is not None:
            _elect(taus, elected)
            for tau in taus:  # take the elected sign off, and drop what does not agree
                np.bitwise_xor(tau.bits, elected.bits, tau.bits)
                tau.tensor.relu_()
            if normalize:
                _sum_weights(taus, weights, divisor, spare)
        if elect == "plain":
            _weigh(taus, weights)
        total = _add(taus, taus[0].values)
        if elect is not None:
            if normalize:
                np.divide(total, divisor.values, total)
            np.bitwise_xor(taus[0].bits, elected.bits, taus[0].bits)
        if factor != 1:
            np.multiply(total, factor, total)
        np.add(origin, total, out_values[start:stop])
    return out


def _weigh(taus: Sequence[Row], weights: Sequence[float]) -> None:
    for tau, weight in zip(taus, weights, strict=True):
        if weight != 1:
            np.multiply(tau.values, np.float32(weight), tau.values)


def _add(taus: Sequence[Row], out: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Add, first to last."""
    total = taus[0].values
    for tau in taus[1:]:
        total = np.add(total, tau.values, out)
    return total


def _elect(votes: Sequence[Row], elected: Row) -> None:
    """Write the sign bit that each value elects.

    It is the sum's own: where the sum is -0 all votes are, and neither sign finds one that agrees.
    """
    total = _add(votes, elected.values)
    np.bitwise_and(total.view(np.uint32), _SIGN_BIT, elected.bits)


def _sum_weights(agreeing: Sequence[Row], weights: Sequence[float], divisor: Row, spare: Row) -> None:
    """Write the sum of the weights of those that agree, which are above 0; 1 where it is 0."""
    if all(weight == 1 for weight in weights) and len(weights) <= _MOST_COUNTED:
        counts, agrees = spare.values.view(np.uint8).reshape(4, -1)[:2]
        np.greater(agreeing[0].values, 0, counts.view(np.bool_))
        for values in agreeing[1:]:
            np.add(counts, np.greater(values.values, 0, agrees.view(np.bool_)).view(np.uint8), counts)
        np.maximum(counts, 1, counts)
        divisor.tensor.copy_(torch.from_numpy(counts))
        return
    torch.sign(agreeing[0].tensor, out=divisor.tensor).mul_(weights[0])
    for values, weight in zip(agreeing[1:], weights[1:], strict=True):
        torch.sign(values.tensor, out=spare.tensor)
        divisor.tensor.add_(spare.tensor, alpha=weight)  # fused or not: a weight times 0 or 1 is exact
    divisor.tensor.add_(torch.eq(divisor.tensor, 0, out=spare.tensor))


class Trim:
    """A keep rule for one task vector, applied to it block after block, from its first value on."""

    def __init__(self, rule: Keep) -> None:
        """Work out what the blocks have in common."""
        self.rule = rule
        self.words = words_kept(rule)
        self.mask = None if rule.mask is None else rule.mask.detach().reshape(-1).numpy()
        # hardshrink keeps what is strictly above a bound, as fast as a product
        self.below_low = float(np.nextafter(np.float32(rule.low), np.float32(0))) if rule.low > 0 else None
        self.high = torch.tensor(rule.high, dtype=torch.float32) if rule.high < math.inf else None
        self.low_ties, self.high_ties = rule.low_ties, rule.high_ties

    def __call__(self, tau: Row, start: int, spare: Row) -> None:
        """Change a block in place. start: of the block in its tensor. spare: as long as tau, overwritten."""
        rule, values = self.rule, tau.values
        has_ties = self.low_ties is not None or self.high_ties is not None
        dropped = self._ties_dropped(np.abs(values, spare.values)) if has_ties else ()
        if self.below_low is not None:
            torch.hardshrink(tau.tensor, self.below_low, out=tau.tensor)
        if self.high is not None:
            np.abs(values, spare.values)
            torch.le(spare.tensor, self.high, out=spare.tensor)
            np.multiply(values, spare.values, values)
        for positions in dropped:
            values[positions] = 0.0
        if self.words < ALL_WORDS:
            words = stream_words(rule.key, rule.start + start, len(values))
            np.multiply(values, words < self.words, values)
        if self.mask is not None:
            np.multiply(values, self.mask[start : start + len(values)], values)
        if rule.scale != 1:
            np.multiply(values, np.float32(rule.scale), values)

    def _ties_dropped(self, magnitude: "NDArray[np.float32]") -> "list[NDArray[np.intp]]":
        """Find the tied values of a block that go, and count them off."""
        dropped = []
        if self.low_ties is not None:
            tied = np.flatnonzero(magnitude == np.float32(self.rule.low))
            dropped.append(tied[self.low_ties :])
            self.low_ties = max(self.low_ties - len(tied), 0)
        if self.high_ties is not None:
            tied = np.flatnonzero(magnitude == np.float32(self.rule.high))
            dropped.append(tied[: self.high_ties])
            self.high_ties = max(self.high_ties - len(tied), 0)
        return dropped
