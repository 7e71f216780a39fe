"""Encoded rows, the batches that a model reads, and how long a row it can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[numpy.int64]


@dataclass(frozen=True)
class Encoded:
    """Token rows laid end to end, each with the place where its answer begins.

    ids: (tokens,) int32. starts: (rows + 1,), row i is ids[starts[i]:starts[i + 1]].
    answers: (rows,), the first token of the answer, counted within the row; the row's length where there is
    no answer.
    truncated: (rows,) bool, rows that were cut at the end to fit.
    between: (tokens,) bool, tokens after the beginning of the answer that are not the assistant's: turns of others between several
    that are learned. None where there are none.
    refused: (rows,) why a row has no answer to learn from; empty where it has. None where no row is refused.
    unlike: (rows,) bool, rows whose prompt has other tokens when the model is asked. None where there is none.
    """

    ids: NDArray[numpy.int32]
    starts: Ints
    answers: Ints
    truncated: NDArray[numpy.bool_]
    between: NDArray[numpy.bool_] | None = None
    refused: NDArray[numpy.str_] | None = None
    unlike: NDArray[numpy.bool_] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return numpy.diff(self.starts)

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
        """The named rows, in the order named."""
        lengths = self.lengths[rows]
        places = spans(self.starts[rows], lengths)
        starts = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int64)
        return Encoded(
            self.ids[places],
            starts,
            self.answers[rows],
            self.truncated[rows],
            None if self.between is None else self.between[places],
            None if self.refused is None else self.refused[rows],
            None if self.unlike is None else self.unlike[rows],
        )


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Name the places of spans one after the other: starts[0], ..., starts[0] + lengths[0] - 1, starts[1], ..."""
    before = numpy.cumsum(lengths) - lengths
    places: Ints = numpy.repeat(starts - before, lengths) + numpy.arange(int(lengths.sum()))
    return places


class RowGatherer:
    """Gathers rows of ids, one at a time, and cuts those that are longer than `max_tokens`."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.chunks: list[NDArray[numpy.int32]] = []
        self.lengths: list[int] = [0]
        self._tokens = 0
        self.answers: list[int] = []
        self.truncated: list[bool] = []
        self.between: list[tuple[int, int]] = []
        self.refused: list[str] = []
        self.unlike: list[bool] = []

    def add(
        self, ids: list[int], first: int, *, may_cut: bool = True, between: Sequence[tuple[int, int]] = (), refused: str = "",
        is_unlike: bool = False,
    ) -> None:  # fmt: skip
        """Add a row. first: the token that its answer begins with. between: from which token up to which it is no part of the answer.

        refused, is_unlike: as in `Encoded`.
        """
        is_long = may_cut and len(ids) > self.max_tokens
        kept = ids[: self.max_tokens] if is_long else ids
        before = self._tokens
        self._tokens += len(kept)
        self.between += [
            (before + start, before + min(stop, len(kept))) for start, stop in between if start < len(kept)
        ]
        self.refused.append(refused)
        self.unlike.append(is_unlike)
        self.chunks.append(numpy.array(kept, dtype=numpy.int32))
        self.lengths.append(len(kept))
        self.answers.append(min(first, len(kept)))
        self.truncated.append(is_long)

    def encoded(self) -> Encoded:
        """Lay the rows end to end."""
        return Encoded(
            numpy.concatenate(self.chunks) if self.chunks else numpy.zeros(0, dtype=numpy.int32),
            numpy.cumsum(self.lengths, dtype=numpy.int64),
            numpy.array(self.answers, dtype=numpy.int64),
            numpy.array(self.truncated, dtype=numpy.bool_),
            self._between(),
            numpy.array(self.refused) if any(self.refused) else None,
            numpy.array(self.unlike, dtype=numpy.bool_) if any(self.unlike) else None,
        )

    def _between(self) -> NDArray[numpy.bool_] | None:
        if not self.between:
            return None
        found = numpy.zeros(self._tokens, dtype=numpy.bool_)
        for start, stop in self.between:
            found[start:stop] = True
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
    time = numpy.arange(int(encoded.lengths[rows].max()))
    places = numpy.minimum(encoded.starts[rows][:, None] + time, len(encoded.ids) - 1)
    is_inside = time < encoded.lengths[rows][:, None]
    return numpy.where(is_inside, encoded.ids[places], pad_id).astype(numpy.int64), is_inside


def collate(encoded: Encoded, rows: Ints, pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """Lay the named rows out as one batch."""
    lengths, answers = encoded.lengths[rows], encoded.answers[rows]
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
