"""The definition of draws, in whole numbers."""

import torch
from torch import Tensor

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10

_64_BITS = (1 << 64) - 1


def reference_draws(key: tuple[int, int], start: int, count: int) -> Tensor:
    """Define the words: word j is half j % 2, low first, of number j // 2 % 4 of block j // 8."""
    words = []
    for j in range(start, start + count):
        number = philox_block(key, j // 8)[j // 2 % 4]
        words.append(number >> 32 if j % 2 else number & 0xFFFFFFFF)
    return torch.tensor(words, dtype=torch.int64)


def philox_block(key: tuple[int, int], block: int) -> tuple[int, int, int, int]:
    """Give the four 64-bit numbers of a block. Its counter is block + 1, because numpy counts before it draws."""
    c0, c1, c2, c3 = (block + 1) & _64_BITS, 0, 0, 0
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> 64) ^ c1 ^ k0, second & _64_BITS, (first >> 64) ^ c3 ^ k1, first & _64_BITS
        k0, k1 = (k0 + KEY_STEPS[0]) & _64_BITS, (k1 + KEY_STEPS[1]) & _64_BITS
    return c0, c1, c2, c3
