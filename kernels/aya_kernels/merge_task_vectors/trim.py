"""Apply a keep rule to a task vector in place, on CPU."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from aya_kernels.draws.stream import stream_words
from aya_kernels.merge_task_vectors.keep import ALL_WORDS, Keep, words_kept
from aya_kernels.scratch import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
