"""draws in Triton: Philox4x64-10 by hand, bit for bit numpy's.

Run in Triton's interpreter only, not on a GPU; the tests also compile it for one.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

import torch
import triton
import triton.language as tl
from torch import Tensor

from aya_kernels.draws.reference import KEY_STEPS, MULTIPLIERS, ROUNDS

_BLOCK = 1024
_M0, _M1 = tl.constexpr(MULTIPLIERS[0]), tl.constexpr(MULTIPLIERS[1])
_STEP0, _STEP1 = tl.constexpr(KEY_STEPS[0]), tl.constexpr(KEY_STEPS[1])
_ROUNDS = tl.constexpr(ROUNDS)


@triton.jit
def stream_word(key0, key1, position):
    """Give the words at these positions. All are uint64; so are the words, each below 2^32.

    Each word pays for a whole block of eight: what a block of threads does not share costs less than what it would
    have to pass around.
    """
    k0, k1 = key0, key1
    c0 = position // 8 + 1  # numpy counts before it draws
    c1, c2, c3 = c0 * 0, c0 * 0, c0 * 0
    m0 = c1 + _M0
    m1 = c1 + _M1
    for _ in tl.static_range(_ROUNDS):
        high0, low0 = tl.umulhi(m0, c0), m0 * c0
        high1, low1 = tl.umulhi(m1, c2), m1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _STEP0
        k1 += _STEP1
    which = position % 8
    number = tl.where(which < 4, tl.where(which < 2, c0, c1), tl.where(which < 6, c2, c3))
    return tl.where(which % 2 == 0, number & 0xFFFFFFFF, number >> 32)


@triton.jit
def _draws_kernel(key, start, out, length, BLOCK: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    first = tl.load(start).to(tl.uint64, bitcast=True)
    key0 = tl.load(key).to(tl.uint64, bitcast=True)
    key1 = tl.load(key + 1).to(tl.uint64, bitcast=True)
    words = stream_word(key0, key1, first + offsets.to(tl.uint64))
    tl.store(out + offsets, words.to(tl.int64), mask=offsets < length)


def triton_draws(key: tuple[int, int], start: int, count: int, device: torch.device) -> Tensor:
    """Compute what reference_draws defines."""
    out = torch.empty(count, dtype=torch.int64, device=device)
    if count == 0:  # an empty launch grid is an error on a GPU
        return out
    numbers = as_int64((*key, start), device)
    with torch.cuda.device_of(out):
        _draws_kernel[(triton.cdiv(count, _BLOCK),)](numbers[:2], numbers[2:], out, count, BLOCK=_BLOCK)
    return out


def as_int64(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Put unsigned 64-bit numbers where a kernel reads them, with the same bits."""
    return torch.tensor([number - (number >> 63 << 64) for number in numbers], dtype=torch.int64).to(device)
