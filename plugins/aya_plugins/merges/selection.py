"""The largest magnitudes of a tensor, found by selection over its pieces: neither sorted nor held whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aya_core.api import Piece, Pieces

if TYPE_CHECKING:
    from torch import Tensor

    from aya_kernels import Keep

SAMPLE = 1 << 16
"""Values looked at to guess where a threshold lies. Of as many or fewer, none is guessed."""

_STEP = 17
"""Of how many values of a sampled piece one is taken; odd, so that it walks through the columns of a matrix."""

BOARD_BYTES = 1 << 20
"""Of a board: more than a piece has, so that what a piece frees holds the next one."""

_MANY = 1 << 12
_SMALLEST = math.ldexp(1.0, -149)
"""The smallest float32 above 0."""


class TopK(NamedTuple):
    """The k largest magnitudes of a model, whose threshold is to be found."""

    model: int
    k: int


@dataclass(frozen=True)
class Threshold:
    """Where the largest magnitudes of a tensor end.

    magnitude: the smallest that belongs to them. ties: by the start of a piece, how many of its values of exactly that
    magnitude belong to them, and how many there are; those that come first in the tensor belong.
    """

    magnitude: float
    ties: Mapping[int, tuple[int, int]]


ALL = Threshold(0.0, {})
NONE = Threshold(math.inf, {})


def keep_largest(piece: Piece, threshold: Threshold, *, but: Threshold = NONE) -> Keep:
    """Keep, of a piece, what belongs to the largest of `threshold`, `but` not what belongs to those.

    Ties are counted in the one piece where some belong and some do not; elsewhere a bound says it, which is faster.
    """
    from aya_kernels import Keep

    low, stay = threshold.magnitude, None
    if threshold.magnitude and piece.start in threshold.ties:
        belong, among = threshold.ties[piece.start]
        low, stay = (_after(low), None) if belong == 0 else (low, belong if belong < among else None)
    high, go = but.magnitude, None
    if piece.start in but.ties:
        belong, among = but.ties[piece.start]
        high, go = (_before(high), None) if belong == among else (high, belong or None)
    return Keep(low=low, high=high, low_ties=stay, high_ties=go)


def thresholds(tensors: Sequence[Pieces], wanted: Sequence[TopK]) -> list[list[Threshold]]:
    """Find where the k largest |model - base| end, or |model| without a base, over tensors taken as one; exactly.

    A sample gives a bracket, a census counts what lies above it and keeps what lies within, and a selection finishes
    there. Where the sample misled, the bracket moves on. A k of 0 gives `NONE`. One that takes in zeros gives `ALL`:
    they may as well be kept.

    Returns the thresholds by tensor, then in the order wanted.
    """
    length = sum(math.prod(pieces.shape) for pieces in tensors)
    found = {
        index: [ALL if want.k > 0 else NONE] * len(tensors)
        for index, want in enumerate(wanted)
        if not 0 < want.k < length
    }
    missing = [index for index in range(len(wanted)) if index not in found]
    if length <= SAMPLE:
        guesses = dict.fromkeys(missing, _Guess(None, 0.0, 0.0))
    else:
        samples = _samples(tensors, length, sorted({wanted[index].model for index in missing})) if missing else {}
        guesses = {
            index: _Guess.of(samples[wanted[index].model], wanted[index].k / length, length) for index in missing
        }
    brackets = {index: guess.bracket(1) for index, guess in guesses.items()}
    width = 1
    while brackets:
        width *= 8
        census = _census(tensors, [(wanted[index].model, *bracket) for index, bracket in brackets.items()])
        for (index, (low, high)), parts in zip(tuple(brackets.items()), census, strict=True):
            rank = wanted[index].k - sum(part.above for part in parts)
            if rank <= 0:
                brackets[index] = (_after(high), max(_after(high), guesses[index].bracket(width)[1]))
            elif rank > sum(part.within for part in parts) and low > _SMALLEST:
                brackets[index] = (min(_before(low), guesses[index].bracket(width)[0]), _before(low))
            else:
                del brackets[index]
                found[index] = _select(parts, rank, len(tensors))
    return [[found[index][tensor] for index in range(len(wanted))] for tensor in range(len(tensors))]


class _Guess(NamedTuple):
    """A sample, largest first; what share of it belongs to the largest, and the standard error of that. A sample of None
    takes every value to be possible."""

    sample: Tensor | None
    share: float
    error: float

    @classmethod
    def of(cls, parts: Sequence[Tensor], share: float, length: int) -> _Guess:
        """Make it of samples of some pieces; pieces that differ, as the rows of embeddings do, make the error larger.

        length: of the tensor.
        """
        import numpy as np
        import torch

        # numpy's: torch takes five times as long
        sample = torch.from_numpy(np.sort(torch.cat(list(parts)).cpu().numpy())[::-1].copy())
        end = sample[min(int(share * len(sample)), len(sample) - 1)]
        shares = torch.tensor([float((part >= end).sum()) / len(part) for part in parts if len(part)])
        between = float(shares.var()) / len(shares) if len(shares) > 1 and len(sample) * _STEP < length else 0.0
        return cls(sample, share, math.sqrt(share * (1 - share) / len(sample) + between))

    def bracket(self, width: int) -> tuple[float, float]:
        """Give both ends of where the largest end, but for bad luck: six standard errors, times width."""
        if self.sample is None:
            return _SMALLEST, math.inf
        place = self.share * len(self.sample)
        margin = width * (6 * self.error * len(self.sample) + 4)
        first, last = math.floor(place - margin), math.ceil(place + margin)
        low = float(self.sample[last]) if last < len(self.sample) else 0.0
        high = float(self.sample[first]) if first >= 0 else math.inf
        return max(low, _SMALLEST), max(high, _SMALLEST)


class _Part(NamedTuple):
    """What a census found in one piece. above: how many over the bracket. values: those within, each `counts` times where
    that is not None."""

    tensor: int
    start: int
    above: int
    values: Tensor
    counts: Tensor | None

    @property
    def within(self) -> int:
        """How many are in the bracket."""
        return len(self.values) if self.counts is None else int(self.counts.sum())


def _samples(tensors: Sequence[Pieces], length: int, models: Sequence[int]) -> dict[int, list[Tensor]]:
    """Take about SAMPLE magnitudes of each model at equal distances: of some pieces, or of all of several tensors."""
    step = _STEP if len(tensors) == 1 else length // SAMPLE | 1

    def sampled(piece: Piece) -> dict[int, Tensor]:
        places = slice(-piece.start % step, None, step)
        values = {model: piece.models[model].reshape(-1)[places] for model in models}
        if piece.base is not None:
            base = piece.base.reshape(-1)[places]
            values = {model: of - base for model, of in values.items()}
        return {model: of.abs() for model, of in values.items()}

    (first, *others) = tensors
    found = first.map(sampled) if others else first.map_some(sampled)
    found += [part for pieces in others for part in pieces.map(sampled)]
    return {model: [part[model] for part in found] for model in models}


def _census(tensors: Sequence[Pieces], brackets: Sequence[tuple[int, float, float]]) -> list[list[_Part]]:
    """Count above each bracket and list what is within, of all pieces in order; in one pass."""
    import torch

    from aya_kernels import census

    shelf = Shelf()

    def counted(tensor: int, piece: Piece) -> list[_Part]:
        parts = []
        for model, low, high in brackets:
            above, values = census(piece.models[model], low, high, piece.base)
            counts = None
            if len(values) > _MANY:  # differences of bfloat16 models are few numbers, many times
                values, counts = torch.unique(values, return_counts=True)
            kept = None if counts is None else shelf.keep(counts)
            parts.append(_Part(tensor, piece.start, above, shelf.keep(values), kept))
        return parts

    found = [parts for tensor, pieces in enumerate(tensors) for parts in pieces.map(partial(counted, tensor))]
    return [list(parts) for parts in zip(*found, strict=True)]


def _select(parts: Sequence[_Part], rank: int, tensors: int) -> list[Threshold]:
    """Cut at the value in all parts that is the rank-th largest."""
    import torch

    if rank > sum(part.within for part in parts):
        return [ALL] * tensors
    values = torch.cat([part.values for part in parts])
    counts = torch.cat([
        torch.ones_like(part.values, dtype=torch.int64) if part.counts is None else part.counts for part in parts
    ])  # fmt: skip
    magnitude = _ranked(parts, values, counts, rank)
    left = rank - int(counts[values > magnitude].sum())
    tied = torch.where(values == magnitude, counts, 0).cumsum(0)
    ends = torch.tensor([len(part.values) for part in parts], device=tied.device).cumsum(0)
    upto = torch.where(ends > 0, tied[ends - 1], 0)
    ties: list[dict[int, tuple[int, int]]] = [{} for _ in range(tensors)]
    for part, among in zip(parts, upto.diff(prepend=upto[:1] * 0).tolist(), strict=True):
        if among:
            belong = min(left, among)
            left -= belong
            ties[part.tensor][part.start] = (belong, among)
    return [Threshold(magnitude, of) for of in ties]


def _ranked(parts: Sequence[_Part], values: Tensor, counts: Tensor, rank: int) -> float:
    import torch

    from aya_kernels import kth_magnitude

    if all(part.counts is None for part in parts):
        return kth_magnitude(values, rank)
    order = values.argsort(descending=True)
    return float(values[order[torch.searchsorted(counts[order].cumsum(0), rank)]])


def _before(value: float) -> float:
    """Give the next smaller float32."""
    import numpy as np

    return float(np.nextafter(np.float32(value), np.float32(0)))


def _after(value: float) -> float:
    """Give the next larger float32."""
    import numpy as np

    return float(np.nextafter(np.float32(value), np.float32(math.inf)))


class Shelf:
    """Copies small CPU tensors side by side onto boards of its own.

    Where each was left where it was made, it would lie in memory that a piece has freed, and the next piece would need new memory: so
    a census of 24 million values, which keeps 3 MB of them, took 93.
    """

    def __init__(self) -> None:
        self._boards: dict[object, tuple[Tensor, int]] = {}

    def keep(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor of one dimension; on a GPU, which has an allocator of its own, the tensor itself."""
        import torch

        if tensor.device.type != "cpu":
            return tensor
        room = BOARD_BYTES // tensor.element_size()
        if len(tensor) > room:
            return tensor
        board, used = self._boards.get(tensor.dtype, (None, room))
        if board is None or used + len(tensor) > room:
            board, used = torch.empty(room, dtype=tensor.dtype), 0
        self._boards[tensor.dtype] = board, used + len(tensor)
        return board[used : used + len(tensor)].copy_(tensor)
