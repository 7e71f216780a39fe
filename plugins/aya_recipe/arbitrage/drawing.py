"""Drawing rows by hash: a share of a stream, in fixed memory."""

from __future__ import annotations

from array import array

from aya_core.api import stable_hash

BITS = 12


class Draw:
    """Keeps at most so many of a stream's rows, those with the smallest hashes. Show it every row, then ask of each again.

    The hashes' first 12 bits are counted; in the one bucket of 4,096 that the limit cuts, the first rows of the stream are
    kept. So all but a few rows are the same ones whatever the order.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.most = most
        self.seed = seed
        self._counts = array("Q", bytes(8 << BITS))
        self._whole: int | None = None
        self._rest = 0

    def show(self, id: str) -> None:
        """Count a row of the first pass."""
        self._counts[self._bucket(id)] += 1

    def keeps(self, id: str) -> bool:
        """Decide on a row of the second pass, which must bring the same rows in the same order."""
        if self._whole is None:
            self._settle()
        bucket = self._bucket(id)
        if bucket == self._whole and self._rest:
            self._rest -= 1
            return True
        return bucket < (self._whole or 0)

    def _settle(self) -> None:
        left = self.most
        self._whole = len(self._counts)
        for bucket, count in enumerate(self._counts):
            if count > left:
                self._whole, self._rest = bucket, left
                return
            left -= count

    def _bucket(self, id: str) -> int:
        return int(stable_hash([self.seed, id])[:8], 16) >> (32 - BITS)
