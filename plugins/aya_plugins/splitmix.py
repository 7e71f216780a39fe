"""SplitMix64: numbers to numbers that look random, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def scatter(keys: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Scatter keys evenly over 64 bits, one to one. Source: the finaliser of SplitMix64, Steele et al. 2014."""
    mixed = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
