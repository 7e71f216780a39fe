"""What token rows have in common, and how to read it once: prefixes of many rows, stems of a few, and leaves.

Rows to be read are sorted, so that those that begin alike are neighbors, and each is cut into at most three segments. A prefix is
the beginning of many rows, such as the worked examples before every question; it is read by itself. A stem is what a few rows
go on with, such as a question before its options; stems are read many at a time. A leaf is the rest of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from aya_plugins.modeling.rows import Encoded, Ints

MANY = 16
"""Rows that a prefix must begin, for it is read in a batch of its own."""

PREFIX_TOKENS = 256
"""Tokens that reading a prefix apart must save in all."""

WORTHWHILE = 1 / 8
"""Share of the tokens that reading something apart must save; less is not worth smaller batches."""


class Alike(NamedTuple):
    """Sorted rows first to stop - 1, which begin with the same `depth` tokens."""

    first: int
    stop: int
    depth: int


class Segment(NamedTuple):
    """Tokens begin to end - 1 of an input."""

    input: int
    begin: int
    end: int


@dataclass(frozen=True)
class Stem:
    """A segment that is read once, and the segments that go on from it. inputs: those that end in it or in its leaves."""

    own: Segment
    leaves: tuple[Segment, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Stems that follow one prefix; None where they follow nothing."""

    prefix: Segment | None
    stems: tuple[Stem, ...]


@dataclass(frozen=True)
class Inputs:
    """What a model reads for some rows: all but their last tokens, each different input once.

    of_row: (rows,) the input of each row. rows: (inputs,) a row that has it; lengths: (inputs,) its tokens. Inputs are sorted, and
    common: (inputs - 1,) says how many tokens each begins alike with the next.
    """

    of_row: Ints
    rows: Ints
    lengths: Ints
    common: Ints


def distinct_inputs(encoded: Encoded) -> Inputs:
    """Sort rows, and find those that are read alike."""
    reads = [encoded.ids[start : stop - 1] for start, stop in zip(encoded.starts, encoded.starts[1:], strict=False)]
    keys = [row.astype(">i4").tobytes() for row in reads]
    order = sorted(range(len(reads)), key=keys.__getitem__)
    of_row = numpy.zeros(len(reads), dtype=numpy.int64)
    rows: list[int] = []
    common: list[int] = []
    for place in order:
        if rows and keys[rows[-1]] == keys[place]:
            of_row[place] = len(rows) - 1
            continue
        if rows:
            common.append(_common(reads[rows[-1]], reads[place]))
        of_row[place] = len(rows)
        rows.append(place)
    lengths = [len(reads[row]) for row in rows]
    return Inputs(of_row, *(numpy.array(found, dtype=numpy.int64) for found in (rows, lengths, common)))


def separate(inputs: Inputs) -> list[Group]:
    """Read every input whole."""
    stems = (Stem(Segment(place, 0, int(length)), (), (place,)) for place, length in enumerate(inputs.lengths))
    return [Group(None, tuple(stems))]


def shared(
    inputs: Inputs, *, many: int = MANY, prefix_tokens: int = PREFIX_TOKENS, worthwhile: float = WORTHWHILE
) -> list[Group]:
    """Choose what to read once, so that most tokens are saved."""
    lengths, common = inputs.lengths.tolist(), inputs.common.tolist()
    groups = []
    loose: list[Stem] = []

    def stems(first: int, stop: int, begin: int) -> Iterator[Stem]:
        alike = _alike(
            lengths,
            common,
            first,
            stop,
            begin,
            lambda run: (run.stop - run.first - 1) * (run.depth - begin),
            worthwhile,
        )
        for run in _with_gaps(alike, first, stop):
            if run.depth == 0:
                for input in range(run.first, run.stop):
                    yield Stem(Segment(input, begin, lengths[input]), (), (input,))
            else:
                members = range(run.first, run.stop)
                leaves = tuple(Segment(one, run.depth, lengths[one]) for one in members if lengths[one] > run.depth)
                yield Stem(Segment(run.first, begin, run.depth), leaves, tuple(members))

    def saved(run: Alike) -> int:
        count = run.stop - run.first
        return (count - 1) * run.depth - prefix_tokens if count >= many else 0

    prefixes = _alike(lengths, common, 0, len(lengths), 0, saved, worthwhile)
    for run in _with_gaps(prefixes, 0, len(lengths)):
        if run.depth == 0:
            loose += stems(run.first, run.stop, 0)
        else:
            groups.append(Group(Segment(run.first, 0, run.depth), tuple(stems(run.first, run.stop, run.depth))))
    return [*groups, Group(None, tuple(loose))] if loose else groups


def _common(left: NDArray[numpy.int32], right: NDArray[numpy.int32]) -> int:
    shorter = min(len(left), len(right))
    differs = left[:shorter] != right[:shorter]
    return int(differs.argmax()) if differs.any() else shorter


def _with_gaps(runs: Sequence[Alike], first: int, stop: int) -> Iterator[Alike]:
    """The runs, and between them those of depth 0."""
    for run in runs:
        if run.first > first:
            yield Alike(first, run.first, 0)
        yield run
        first = run.stop
    if stop > first:
        yield Alike(first, stop, 0)


class _Open:
    """A run whose end is not reached. best: the runs within it that save most; saving: how much that is."""

    def __init__(self, depth: int, first: int) -> None:
        self.depth = depth
        self.first = first
        self.saving = 0
        self.best: list[Alike] = []


def _alike(
    lengths: Sequence[int],
    common: Sequence[int],
    first: int,
    stop: int,
    begin: int,
    saved: Callable[[Alike], int],
    worthwhile: float,
) -> list[Alike]:
    """Choose runs of sorted rows, none within another, that save most tokens in all.

    saved: the tokens that reading what a run has in common once saves. Every row begins with the same `begin` tokens, which are
    read already. It is one walk over the tree of common beginnings, whose inner nodes are the runs.
    """
    sums = numpy.concatenate([[0], numpy.cumsum(numpy.array(lengths[first:stop]) - begin)]).tolist()
    path = [_Open(begin, first)]
    for row in range(first, stop):
        depth = common[row] if row + 1 < stop else begin
        while path[-1].depth > depth:
            done = path.pop()
            run = Alike(done.first, row + 1, done.depth)
            saving = saved(run)
            if saving > done.saving and saving >= worthwhile * (sums[run.stop - first] - sums[run.first - first]):
                done.saving, done.best = saving, [run]
            if path[-1].depth < depth:
                path.append(_Open(depth, done.first))
            path[-1].saving += done.saving
            path[-1].best += done.best
        if path[-1].depth < depth:
            path.append(_Open(depth, row))
    return path[0].best
