"""Which rows each step sees, and how they are split into forward passes."""

from __future__ import annotations

from functools import lru_cache

import numpy

from aya_core.api import AyaError
from aya_plugins.modelling.rows import Ints


class RowOrder:
    """Shuffles of all rows without end, cut into steps.

    Any step can be asked for: a resumed run asks midway.
    """

    def __init__(self, rows: int, batch_rows: int, seed: int) -> None:
        self.rows = rows
        self.batch_rows = batch_rows
        self.seed = seed
        self._shuffle = lru_cache(maxsize=2)(self._make_shuffle)

    def step(self, step: int) -> Ints:
        """Name the rows of a step. The last step of a shuffle is filled up from the next one."""
        places = numpy.arange(step * self.batch_rows, (step + 1) * self.batch_rows)
        epochs, within = places // self.rows, places % self.rows
        return numpy.concatenate([self._shuffle(int(epoch))[within[epochs == epoch]] for epoch in numpy.unique(epochs)])

    def _make_shuffle(self, epoch: int) -> Ints:
        return numpy.random.default_rng((self.seed, epoch)).permutation(self.rows)


def count_steps(rows: int, batch_rows: int, epochs: float, steps: int | None) -> int:
    """Turn epochs into whole steps, at least one."""
    return steps if steps is not None else max(1, round(epochs * rows / batch_rows))


def forward_passes(rows: Ints, lengths: Ints, tokens: int, rank: int, ranks: int) -> list[Ints]:
    """Split a step into forward passes of one device, longest rows first.

    tokens: most tokens of a pass, padding included. All devices get as many rows and as many passes, of like
    lengths, because they wait for one another.
    """
    if len(rows) % ranks:
        raise AyaError(f"batch_rows {len(rows)} cannot be shared by {ranks} processes; make it a multiple of {ranks}")
    ordered = rows[numpy.argsort(-lengths[rows], kind="stable")]
    teams = ordered.reshape(-1, ranks)  # a row for each device
    longest = lengths[teams[:, 0]]
    passes, start = [], 0
    while start < len(teams):
        stop = start + max(1, tokens // max(1, int(longest[start])))
        passes.append(teams[start:stop, rank])
        start = stop
    return passes
