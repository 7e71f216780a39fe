"""Apply a keep rule to task vectors in place, on CPU."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aya_kernels.draws.stream import stream_words
from aya_kernels.merge_task_vectors.keep import ALL_WORDS, Keep, words_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Trim:
    """A keep rule for one task vector, applied to it block after block, from its first value on."""

    def __init__(self, rule: Keep) -> None:
        """Work out what the blocks have in common."""
        self.rule = rule
        self.words = words_kept(rule)
        self.mask = None if rule.mask is None else rule.mask.reshape(-1)
        # hardshrink keeps what is strictly above a bound, as fast as a product
        self.below_low = float(np.nextafter(np.float32(rule.low), np.float32(0))) if rule.low > 0 else None
        self.high = torch.tensor(rule.high, dtype=torch.float32) if rule.high < math.inf else None
        self.scale = torch.tensor(rule.scale, dtype=torch.float32) if rule.scale != 1 else None
        self.low_ties, self.high_ties = rule.low_ties, rule.high_ties

    def __call__(self, tau: Tensor, start: int, spare: Tensor) -> None:
        """Change a block in place. start: of the block in its tensor. spare: as long as tau, overwritten."""
        rule = self.rule
        has_ties = self.low_ties is not None or self.high_ties is not None
        dropped = self._ties_dropped(torch.abs(tau, out=spare).numpy()) if has_ties else ()
        if self.below_low is not None:
            torch.hardshrink(tau, self.below_low, out=tau)
        if self.high is not None:
            torch.abs(tau, out=spare)
            tau.mul_(torch.le(spare, self.high, out=spare))
        for positions in dropped:
            tau.numpy()[positions] = 0.0
        if self.words < ALL_WORDS:
            words = stream_words(rule.key, rule.start + start, tau.numel())
            np.multiply(tau.numpy(), words < self.words, out=tau.numpy())
        if self.mask is not None:
            tau.mul_(self.mask[start : start + tau.numel()])
        if self.scale is not None:
            tau.mul_(self.scale)

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
