"""Which rows each step sees, and how they are split into forward passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy
from numpy.typing import NDArray

from aya_core.api import AyaError
from aya_plugins.modeling.rows import Ints


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
        parts = [self._shuffle(int(epoch))[within[epochs == epoch]] for epoch in numpy.unique(epochs)]
        rows: Ints = numpy.concatenate(parts).astype(numpy.int64)
        return rows

    def _make_shuffle(self, epoch: int) -> NDArray[numpy.int32]:
        return numpy.random.default_rng((self.seed, epoch)).permutation(self.rows).astype(numpy.int32)


class PassSizes(Protocol):
    """What rows take in a forward pass; see `Task`."""

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""

    @property
    def answer_tokens(self) -> Ints:
        """Tokens of each row that go through the output head."""


@dataclass(frozen=True)
class PassLimits:
    """What a forward pass of one device may hold.

    tokens: padding included, unless the rows are laid end to end. answer_tokens: those that go through the output head, or
    None where nothing is won by fewer.
    """

    tokens: int
    answer_tokens: int | None = None
    is_padding_free: bool = False


def count_steps(rows: int, batch_rows: int, epochs: float, steps: int | None) -> int:
    """Turn epochs into whole steps, at least one."""
    return steps if steps is not None else max(1, round(epochs * rows / batch_rows))


def forward_passes(rows: Ints, sizes: PassSizes, limits: PassLimits, rank: int, ranks: int) -> list[Ints]:
    """Split a step into forward passes of one device, longest rows first.

    Each row goes into the first pass that has room for it, or into a new one; a row that exceeds a limit by itself is alone.
    All devices get as many rows and as many passes, of like lengths, because they wait for one another.
    """
    if len(rows) % ranks:
        raise AyaError(f"batch_rows {len(rows)} cannot be shared by {ranks} processes; make it a multiple of {ranks}")
    ordered = rows[numpy.argsort(-sizes.lengths[rows], kind="stable")]
    teams = ordered.reshape(-1, ranks)  # a row for each device
    lengths, answers = sizes.lengths[teams].max(1), sizes.answer_tokens[teams]
    passes: list[_Pass] = []
    for team in range(len(teams)):
        grown = next((one for one in passes if one.has_room(lengths[team], answers[team], limits)), None)
        if grown is None:
            passes.append(grown := _Pass(answers=numpy.zeros(ranks, dtype=numpy.int64)))
        grown.add(team, lengths[team], answers[team])
    return [teams[one.teams, rank] for one in passes]


@dataclass
class _Pass:
    """A forward pass in the making. teams: its rows on all devices, longest first. answers: of each device."""

    answers: Ints
    teams: list[int] = field(default_factory=list)
    longest: int = 0
    total: int = 0

    def has_room(self, length: int, answers: Ints, limits: PassLimits) -> bool:
        tokens = self.total + length if limits.is_padding_free else self.longest * (len(self.teams) + 1)
        fits = limits.answer_tokens is None or (self.answers + answers).max() <= limits.answer_tokens
        return bool(tokens <= limits.tokens and fits)

    def add(self, team: int, length: int, answers: Ints) -> None:
        self.teams.append(team)
        self.longest, self.total = max(self.longest, int(length)), self.total + int(length)
        self.answers = self.answers + answers
