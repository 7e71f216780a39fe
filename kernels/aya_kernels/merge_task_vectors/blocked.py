"""merge_task_vectors on CPU, one cache-sized block at a time.

Every step is a float operation of torch that writes where it is told. Tensors of bool are avoided: to multiply with one
or to fill by one costs 5 to 40 times as much. So are Python numbers as operands, which torch wraps anew each time.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from aya_kernels.merge_task_vectors.keep import Keep
from aya_kernels.merge_task_vectors.reference import factor_of_sum
from aya_kernels.merge_task_vectors.trim import Trim
from aya_kernels.scratch import scratch

# Task vectors of a few models, and what is summed, stay in a 2 MiB level-2 cache; with fewer values, calls would cost
# as much as the arithmetic.
_VALUES_PER_BLOCK = 1 << 15
_SIGN_BIT = torch.tensor(-(1 << 31), dtype=torch.int32)  # of a float32


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
    flat_base, flat_out = base.reshape(-1), out.view(-1)
    flats = [tensor.reshape(-1) for tensor in tensors]
    trims = [Trim(rule) for rule in keep]
    factors = [_factor(weight) for weight in weights]
    last = _factor(factor_of_sum(weights, normalize, lambda_) if elect is None else lambda_)
    rows = scratch(len(tensors) + 3, _VALUES_PER_BLOCK)
    for start in range(0, length, _VALUES_PER_BLOCK):
        size = min(_VALUES_PER_BLOCK, length - start)
        if size < _VALUES_PER_BLOCK:
            rows = [row[:size] for row in rows]
        spare, elected, divisor, *taus = rows
        base_part = flat_base[start : start + size]
        for tau, flat, trim in zip(taus, flats, trims, strict=True):
            torch.sub(flat[start : start + size], base_part, out=tau)
            trim(tau, start, spare)
        if elect is None or elect == "weighted":
            for tau, factor in zip(taus, factors, strict=True):
                if factor is not None:
                    tau.mul_(factor)
        total = taus[0]
        if elect is None:
            for tau in taus[1:]:
                total.add_(tau)
        else:
            minus = _elect(taus, elected)
            for tau in taus:
                tau.view(torch.int32).bitwise_xor_(minus)
                tau.relu_()  # what agrees, without the elected sign
            if normalize:
                _sum_weights(taus, weights, factors, divisor, spare)
            for tau, factor in zip(taus, factors, strict=True):
                if elect == "plain" and factor is not None:
                    tau.mul_(factor)
                if tau is not total:
                    total.add_(tau)
            if normalize:
                total.div_(divisor)
            total.view(torch.int32).bitwise_xor_(minus)
        if last is not None:
            total.mul_(last)
        torch.add(base_part, total, out=flat_out[start : start + size])
    return out


def _factor(number: float) -> Tensor | None:
    """Make an operand of a number; None for 1, which changes nothing."""
    return None if number == 1 else torch.tensor(number, dtype=torch.float32)


def _elect(votes: Sequence[Tensor], spare: Tensor) -> Tensor:
    """Give the sign bit that each value elects, in spare's memory.

    The sum's own bit: where the sum is -0 all votes are, and no sign finds an agreeing one.
    """
    total = votes[0]
    for vote in votes[1:]:
        total = torch.add(total, vote, out=spare)
    return torch.bitwise_and(total.view(torch.int32), _SIGN_BIT, out=spare.view(torch.int32))


def _sum_weights(
    agreeing: Sequence[Tensor],
    weights: Sequence[float],
    factors: Sequence[Tensor | None],
    divisor: Tensor,
    spare: Tensor,
) -> None:
    """Write the sum of the weights of those that agree, which are above 0, to divisor; 1 where it is 0."""
    torch.sign(agreeing[0], out=divisor)
    if factors[0] is not None:
        divisor.mul_(factors[0])
    for values, weight in zip(agreeing[1:], weights[1:], strict=True):
        divisor.add_(torch.sign(values, out=spare), alpha=weight)  # fused or not: a weight times 0 or 1 is exact
    least = min(weights)
    if least > torch.finfo(torch.float32).tiny:  # then only 0 is below it, and what is divided by it is 0
        divisor.clamp_min_(least)
    else:
        divisor.add_(torch.eq(divisor, 0, out=spare))
