"""Which values of a task vector stay."""

import math
from typing import NamedTuple

from torch import Tensor


class Keep(NamedTuple):
    """Which values of one task vector stay, and what they are multiplied with. All that is said must hold.

    low, high: the magnitudes that stay, both ends included, as float32 numbers.
    low_ties: of the values whose magnitude equals low only the first so many stay, in flat order; None: all do.
    high_ties: of the values whose magnitude equals high the first so many go, in flat order; None: none does.
    density: a value stays where its word of `draws(key, start, ...)` is below round(density * 2^32); 1 draws nothing.
    key, start: of those draws; start belongs to the first value.
    scale: what stays is multiplied with it.
    mask: what stays is also multiplied with this: float32, of the tensor's shape, mostly of zeros and ones.
    """

    low: float = 0.0
    high: float = math.inf
    low_ties: int | None = None
    high_ties: int | None = None
    density: float = 1.0
    key: tuple[int, int] = (0, 0)
    start: int = 0
    scale: float = 1.0
    mask: Tensor | None = None


KEEP_ALL = Keep()
ALL_WORDS = 1 << 32


def words_kept(rule: Keep) -> int:
    """How many of the 2^32 words keep a value."""
    return round(rule.density * ALL_WORDS)
