"""Encoded rows, the batches that a model reads, and how long a row it can read."""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[numpy.int64]


AT_ONCE = 1 << 20
"""Token ids held in memory while rows are written to disk or read through, 4 MiB."""


class OnDisk:
    """Token ids in a file without a name, which is gone when nobody holds it. What is asked for is read, and nothing is kept.

    folder: where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._size = 0

    def append(self, ids: NDArray[numpy.int32]) -> None:
        """Write more at the end."""
        self._file.seek(0, 2)
        self._file.write(ids.tobytes())
        self._file.flush()
        self._size += len(ids)

    def __len__(self) -> int:
        return self._size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or numpy.int32)

    def max(self, *, initial: int) -> int:
        """The largest id."""
        return int(self[:].max(initial=initial))

    def __getitem__(self, index: Any) -> NDArray[numpy.int32]:
        if not self._size:
            return numpy.zeros(0, dtype=numpy.int32)[index]  # type: ignore[no-any-return]
        # mapped for this moment alone: pages of a lasting map would count as this process's memory
        return numpy.array(numpy.memmap(self._file, dtype=numpy.int32, mode="r")[index])


@dataclass(frozen=True)
class Encoded:
    """Token rows laid end to end, each with the place where its answer begins.

    ids: (tokens,) int32, in memory or on disk. starts: (rows + 1,), row i is ids[starts[i]:starts[i + 1]].
    answers: (rows,), the first token of the answer, counted within the row; the row's length where there is
    no answer.
    truncated: (rows,) bool, rows that were cut at the end to fit.
    between: (tokens,) bool, tokens after the beginning of the answer that are not the assistant's: turns of others between several
    that are learned. None where there are none.
    refused: (rows,) why a row has no answer to learn from; empty where it has. None where no row is refused.
    unlike: (rows,) bool, rows whose prompt has other tokens when the model is asked. None where there is none.
    unended: (rows,) bool, rows whose answer was cut when it was sampled, and so has no end. None where there is none.
    """

    ids: NDArray[numpy.int32] | OnDisk
    starts: Ints
    answers: Ints
    truncated: NDArray[numpy.bool_]
    between: NDArray[numpy.bool_] | None = None
    refused: NDArray[numpy.object_] | None = None
    unlike: NDArray[numpy.bool_] | None = None
    unended: NDArray[numpy.bool_] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return numpy.diff(self.starts)

    def lengths_of(self, rows: Ints) -> Ints:
        """Tokens of the named rows."""
        lengths: Ints = self.starts[rows + 1] - self.starts[rows]
        return lengths

    def answer_tokens_of(self, rows: Ints) -> Ints:
        """Tokens of the answers of the named rows."""
        tokens = self.lengths_of(rows) - self.answers[rows]
        return tokens if self.between is None else tokens - self._tokens_between[rows]

    @property
    def answer_tokens(self) -> Ints:
        """Tokens of each answer, its end of turn included."""
        return self.lengths - self.answers - self._tokens_between

    @property
    def scored_tokens(self) -> Ints:
        """Tokens of each answer that have a log-probability: all but the first of a row, which nothing precedes."""
        scored: Ints = self.lengths - numpy.maximum(self.answers, numpy.minimum(1, self.lengths)) - self._tokens_between
        return scored

    @property
    def _tokens_between(self) -> Ints:
        """Of each row, tokens after the beginning of its answer that are no part of it."""
        if self.between is None:
            return numpy.zeros(len(self), dtype=numpy.int64)
        ends = numpy.concatenate([[0], numpy.cumsum(self.between, dtype=numpy.int64)])
        return numpy.diff(ends[self.starts])

    def row(self, index: int) -> list[int]:
        """The token ids of one row."""
        ids: list[int] = self.ids[self.starts[index] : self.starts[index + 1]].tolist()
        return ids

    def take(self, rows: Ints) -> Encoded:
        """The named rows, in the order named; where all are, these."""
        if len(rows) == len(self) and (numpy.diff(rows) == 1).all():
            return self
        lengths = self.lengths_of(rows)
        starts = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int64)
        ids: NDArray[numpy.int32] | OnDisk
        if isinstance(self.ids, OnDisk):
            ids = OnDisk(self.ids.folder)
            for first, last in _portions(starts):
                ids.append(self.ids[spans(self.starts[rows[first:last]], lengths[first:last])])
        else:
            ids = self.ids[spans(self.starts[rows], lengths)]
        return Encoded(
            ids,
            starts,
            self.answers[rows],
            self.truncated[rows],
            None if self.between is None else self.between[spans(self.starts[rows], lengths)],
            None if self.refused is None else self.refused[rows],
            None if self.unlike is None else self.unlike[rows],
            None if self.unended is None else self.unended[rows],
        )

    def portions(self) -> Iterator[tuple[Ints, NDArray[numpy.int32]]]:
        """Go through all rows, some at a time: where each of these begins and the last one ends, and their ids end to end."""
        for first, last in _portions(self.starts):
            starts = self.starts[first : last + 1]
            yield starts - starts[0], self.ids[starts[0] : starts[-1]]


def _portions(starts: Ints) -> Iterator[tuple[int, int]]:
    """Part rows into runs of about `AT_ONCE` tokens: the first row of each, and the first one after it."""
    first, rows = 0, len(starts) - 1
    while first < rows:
        last = int(numpy.searchsorted(starts, starts[first] + AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Name the places of spans one after the other: starts[0], ..., starts[0] + lengths[0] - 1, starts[1], ..."""
    before = numpy.cumsum(lengths) - lengths
    places: Ints = numpy.repeat(starts - before, lengths) + numpy.arange(int(lengths.sum()))
    return places


class RowGatherer:
    """Gathers rows of ids, one at a time, and cuts those that are longer than `max_tokens`.

    scratch: a folder in which ids are put when there are many; None keeps all in memory.
    """

    def __init__(self, max_tokens: int, scratch: Path | None = None) -> None:
        self.max_tokens = max_tokens
        self.scratch = scratch
        self.away: OnDisk | None = None
        self.chunks: list[NDArray[numpy.int32]] = []
        self.ids = array("i")
        self.lengths = array("i")
        self.answers = array("i")
        self.truncated = bytearray()
        self._tokens = 0
        self.between: list[tuple[int, int]] = []
        self.refused: dict[int, str] = {}
        self.unlike: list[int] = []
        self.unended: list[int] = []

    def add(
        self, ids: list[int], first: int, *, may_cut: bool = True, between: Sequence[tuple[int, int]] = (), refused: str = "",
        is_unlike: bool = False, is_unended: bool = False,
    ) -> None:  # fmt: skip
        """Add a row. first: the token that its answer begins with. between: from which token up to which it is no part of the answer.

        refused, is_unlike, is_unended: as in `Encoded`.
        """
        is_long = may_cut and len(ids) > self.max_tokens
        kept = ids[: self.max_tokens] if is_long else ids
        row, before = len(self.lengths), self._tokens
        self._tokens += len(kept)
        self.between += [
            (before + start, before + min(stop, len(kept))) for start, stop in between if start < len(kept)
        ]
        if refused:
            self.refused[row] = refused
        if is_unlike:
            self.unlike.append(row)
        if is_unended:
            self.unended.append(row)
        self.ids.extend(kept)
        self.lengths.append(len(kept))
        self.answers.append(min(first, len(kept)))
        self.truncated.append(is_long)
        if len(self.ids) > AT_ONCE:
            self._put_away()

    def _put_away(self) -> None:
        """Empty what is held of ids."""
        ids = numpy.array(self.ids, dtype=numpy.int32)
        if self.scratch is None:
            self.chunks.append(ids)
        else:
            if self.away is None:
                self.away = OnDisk(self.scratch)
            self.away.append(ids)
        self.ids = array("i")

    def encoded(self) -> Encoded:
        """Lay the rows end to end."""
        rows = len(self.lengths)
        starts = numpy.zeros(rows + 1, dtype=numpy.int64)
        numpy.cumsum(self.lengths, out=starts[1:])
        ids: NDArray[numpy.int32] | OnDisk
        if self.away is None:
            ids = numpy.concatenate([*self.chunks, numpy.array(self.ids, dtype=numpy.int32)])
        else:
            self._put_away()
            ids = self.away
        refused = None
        if self.refused:
            refused = numpy.full(rows, "", dtype=numpy.object_)
            refused[list(self.refused)] = list(self.refused.values())
        return Encoded(
            ids,
            starts,
            numpy.array(self.answers, dtype=numpy.int64),
            numpy.frombuffer(bytes(self.truncated), dtype=numpy.bool_),
            self._between(),
            refused,
            _marked(self.unlike, rows),
            _marked(self.unended, rows),
        )

    def _between(self) -> NDArray[numpy.bool_] | None:
        if not self.between:
            return None
        found = numpy.zeros(self._tokens, dtype=numpy.bool_)
        for start, stop in self.between:
            found[start:stop] = True
        return found


def _marked(places: Sequence[int], rows: int) -> NDArray[numpy.bool_] | None:
    """True at some rows; None where there is none."""
    if not places:
        return None
    found = numpy.zeros(rows, dtype=numpy.bool_)
    found[places] = True
    return found


class Batch(NamedTuple):
    """Right-padded rows, and where their answers are.

    input_ids: (rows, time). Under causal attention no token sees the padding to its right, so there is no
    mask.
    predictors: (n,) places in input_ids.flatten() whose hidden state predicts an answer's token. targets:
    (n,) those tokens.
    slots: (n,) the place of each in a table of (rows, width), by which sums over a row are made in a fixed
    order. width: tokens of the longest answer.
    tokens: (tokens,) places in input_ids.flatten() that are no padding.
    """

    input_ids: Tensor
    predictors: Tensor
    targets: Tensor
    slots: Tensor
    rows: int
    width: int
    tokens: Tensor


class Packed(NamedTuple):
    """Rows laid end to end, without padding.

    input_ids, position_ids: (1, tokens); positions begin at 0 in each row, by which attention knows where a row ends.
    predictors: as in `Batch`, but places in this line.
    """

    input_ids: Tensor
    position_ids: Tensor
    predictors: Tensor


def end_to_end(batch: Batch) -> Packed:
    """Lay the rows of a batch end to end."""
    flat = batch.input_ids.flatten()
    places = torch.empty_like(flat)  # of each token in the line; of padding: nowhere
    places[batch.tokens] = torch.arange(len(batch.tokens), device=flat.device)
    return Packed(
        flat[batch.tokens][None],
        (batch.tokens % batch.input_ids.shape[1])[None],
        places[batch.predictors],
    )


def padded(encoded: Encoded, rows: Ints, pad_id: int) -> tuple[Ints, NDArray[numpy.bool_]]:
    """Lay the named rows out under one another, padded on the right: ids, and where they are no padding, (rows, time)."""
    lengths = encoded.lengths_of(rows)
    time = numpy.arange(int(lengths.max()))
    places = numpy.minimum(encoded.starts[rows][:, None] + time, len(encoded.ids) - 1)
    is_inside = time < lengths[:, None]
    return numpy.where(is_inside, encoded.ids[places], pad_id).astype(numpy.int64), is_inside


def collate(encoded: Encoded, rows: Ints, pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """Lay the named rows out as one batch."""
    lengths, answers = encoded.lengths_of(rows), encoded.answers[rows]
    ids, is_inside = padded(encoded, rows, pad_id)
    time = numpy.arange(ids.shape[1])
    # The first token of a row has no hidden state before it, so it cannot be scored.
    is_target = is_inside & (time >= numpy.maximum(answers, 1)[:, None])
    if encoded.between is not None:
        places = numpy.minimum(encoded.starts[rows][:, None] + time, len(encoded.ids) - 1)
        is_target &= ~encoded.between[places]
    row, column = numpy.nonzero(is_target)
    width = max(1, int((lengths - answers).max()))
    tensors = (
        ids,
        row * len(time) + column - 1,
        ids[row, column],
        row * width + column - numpy.maximum(answers, 1)[row],
        numpy.flatnonzero(is_inside),
    )
    input_ids, predictors, targets, slots, inside = (torch.from_numpy(array).to(device) for array in tensors)
    return Batch(input_ids, predictors, targets, slots, len(rows), width, inside)


def left_padded(prompts: Encoded, rows: Ints, pad_id: int) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Lay out prompts so that all end in the last column: ids and mask, (rows, time)."""
    lengths = prompts.lengths[rows]
    time = numpy.arange(int(lengths.max()))
    inside = time - (len(time) - lengths)[:, None]  # place within the row, below 0 in the padding
    ids = prompts.ids[prompts.starts[rows][:, None] + numpy.maximum(inside, 0)]
    return numpy.where(inside >= 0, ids, pad_id).astype(numpy.int64), (inside >= 0).astype(numpy.int64)


def length_sorted(lengths: Ints, tokens: int) -> Iterator[Ints]:
    """Yield batches of row numbers, longest rows first.

    tokens: most tokens of a batch, padding included; a batch has one row at least.
    """
    order = numpy.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start:stop]
        start = stop


def longest_row(model: Any) -> int | None:
    """Say for how many tokens a model has positions; None where its configuration sets no limit."""
    for name, layer in model.named_modules():
        if name.endswith("position_embeddings") and getattr(layer, "padding_idx", None) is not None:
            return int(layer.num_embeddings - layer.padding_idx - 1)  # RoBERTa and kin count from the padding's number
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest
