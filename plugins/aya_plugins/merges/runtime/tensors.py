"""Merge one tensor: read a piece of every model, apply each merge that wants it, round once, write."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from aya_core.api import DataError, Piece, PieceMerge, Pieces, Place, PluginError, TensorMerge
from aya_plugins.merges.files.checkpoint import Stored
from aya_plugins.merges.files.sources import Source
from aya_plugins.merges.runtime.shards import Slot

if TYPE_CHECKING:
    from torch import Tensor

Found = TypeVar("Found")

SCRATCH = 6
"""Tensors of a piece's size that a merge may need beside its inputs, as an estimate."""

VALUES = 1 << 16
"""Values of a piece on a CPU: 256 KiB in float32, so that a piece of a few models and scratch fit a core's cache."""

VALUES_ON_GPU = 1 << 24

_LARGEST_BFLOAT16 = 3.3961775e38
"""From here on, values round to infinity in bfloat16: halfway between its largest one and the next power of two."""


class Cut(NamedTuple):
    """Where a piece lies: the flat values [start, stop), seen as rows of so many columns."""

    start: int
    stop: int
    columns: int


def cut(shape: tuple[int, ...], values: int = VALUES, *, whole_rows: bool = False) -> list[Cut]:
    """Cut a tensor into pieces of so many values, each one row; or into whole rows of its last dimension."""
    total = 1
    for length in shape:
        total *= length
    if total == 0:
        return []
    if not whole_rows:
        return [Cut(start, min(start + values, total), min(values, total - start)) for start in range(0, total, values)]
    columns = shape[-1] if shape else 1
    step = max(1, values // columns) * columns
    return [Cut(start, min(start + step, total), columns) for start in range(0, total, step)]


@dataclass(frozen=True)
class OutputTensor:
    """One output tensor: which sources it is merged from, how, and where it goes.

    models, base: keys of the sources. weights: one per model. dtype: safetensors' name of what it is stored in.
    """

    merge: TensorMerge | PieceMerge
    place: Place
    weights: tuple[float, ...]
    models: tuple[int, ...]
    base: int | None
    dtype: str
    slot: Slot


@dataclass(frozen=True)
class OpenTensor:
    """A tensor of one shape, open in all the models that it is merged from. sources: by key. names: for messages."""

    sources: Mapping[int, Source]
    names: Mapping[int, str]
    shape: tuple[int, ...]
    device: str

    def merge(self, wanted: Sequence[OutputTensor], hashed: Collection[int]) -> dict[int, str]:
        """Make output tensors of it, all from one read where they are merged in pieces.

        Returns the SHA-256, by key, of those sources among `hashed` whose bytes passed by on the way.
        """
        digests: dict[int, str] = {}
        in_pieces = [one for one in wanted if isinstance(one.merge, PieceMerge)]
        for whole_rows in (True, False):
            if some := [one for one in in_pieces if getattr(one.merge, "whole_rows", False) is whole_rows]:
                digests |= self._merge_in_pieces(some, cut(self.shape, self._values, whole_rows=whole_rows), hashed)
        for one in wanted:
            if not isinstance(one.merge, PieceMerge):
                self._merge_whole(one, one.merge)
        return digests

    def memory(self, wanted: Sequence[OutputTensor]) -> int:
        """Estimate the bytes that merging it holds."""
        total = math.prod(self.shape)
        whole = any(not isinstance(one.merge, PieceMerge) for one in wanted)
        rows = any(getattr(one.merge, "whole_rows", False) for one in wanted)
        longest = max((place.stop - place.start for place in cut(self.shape, self._values, whole_rows=rows)), default=0)
        return 4 * (total if whole else longest) * (len(self.sources) + SCRATCH)

    def pieces(self, models: Sequence[int], base: int | None) -> Pieces:
        """Show the tensor in pieces. models, base: keys of the sources."""
        return _Pieces(self, models, base, cut(self.shape, self._values))

    @property
    def _values(self) -> int:
        return VALUES if self.device == "cpu" else VALUES_ON_GPU

    def _merge_in_pieces(
        self, wanted: Sequence[OutputTensor], cuts: Sequence[Cut], hashed: Collection[int]
    ) -> dict[int, str]:
        makers: list[tuple[OutputTensor, Callable[[Piece], Tensor]]] = []
        for one in wanted:
            assert isinstance(one.merge, PieceMerge)
            pieces = _Pieces(self, one.models, one.base, cuts)
            makers.append((one, one.merge.survey(pieces, one.weights, one.place)))
        keys = sorted({key for one in wanted for key in (*one.models, one.base) if key is not None})
        hashes = {key: hashlib.sha256() for key in keys if key in hashed and isinstance(self.sources[key], Stored)}
        with ExitStack() as files:
            outs = [files.enter_context(one.slot.file.open("r+b", buffering=0)) for one in wanted]
            for place in cuts:
                values = {key: self.read(key, place, hashes.get(key)) for key in keys}
                for (one, make), out in zip(makers, outs, strict=True):
                    self._store(one, make(_piece(one.models, one.base, values, place)), place, out.fileno())
        return {key: found.hexdigest() for key, found in hashes.items()}

    def _merge_whole(self, wanted: OutputTensor, merge: TensorMerge) -> None:
        total = math.prod(self.shape)
        everything = Cut(0, total, self.shape[-1] if self.shape else 1)
        values = {key: self.read(key, everything) for key in (*wanted.models, wanted.base) if key is not None}
        tensors = [values[key].view(self.shape) for key in wanted.models]
        base = values[wanted.base].view(self.shape) if wanted.base is not None else None
        with wanted.slot.file.open("r+b", buffering=0) as out:
            self._store(wanted, merge(tensors, wanted.weights, base, wanted.place), everything, out.fileno())

    def read(self, key: int, place: Cut, hash: hashlib._Hash | None = None) -> Tensor:
        """Read a piece of one model's tensor, float32, as a matrix, and hash its bytes. Raises DataError for NaN and infinity."""
        source = self.sources[key]
        if hash is not None and isinstance(source, Stored):
            stored, raw = source.read_raw(place.start, place.stop)
            hash.update(raw)
            values = stored.to(torch.float32, copy=True)
        else:
            values = source.read(place.start, place.stop)
        if not _is_finite(values):
            raise DataError(
                f"model {self.names[key]} has NaN or infinite values; its training broke, or its file is damaged"
            )
        values = values.view(-1, place.columns)
        return values if self.device == "cpu" else values.to(self.device, non_blocking=True)

    def _store(self, wanted: OutputTensor, merged: Tensor, place: Cut, file: int) -> None:
        if merged.numel() != place.stop - place.start or not merged.is_floating_point():
            raise PluginError(
                f"merge '{type(wanted.merge).__name__}' made {merged.dtype} of shape {tuple(merged.shape)} of a part of "
                f"'{wanted.place.name}'; expected floating point and {place.stop - place.start} values"
            )
        rounded = merged.to(_dtype(wanted.dtype)).cpu().contiguous().view(-1)
        if not (_fits_bfloat16(merged) if wanted.dtype == "BF16" else _is_finite(rounded)):
            raise DataError(
                f"merged tensor '{wanted.place.name}' has values that {str(rounded.dtype).removeprefix('torch.')} "
                f"cannot hold; {'' if wanted.dtype in ('BF16', 'F32') else 'store it in bfloat16 or float32, or '}make the weights smaller"
            )
        offset = wanted.slot.offset + place.start * rounded.element_size()
        raw: Any = rounded.view(torch.uint8).numpy()
        write(file, memoryview(raw), offset)


@dataclass(frozen=True)
class _Pieces:
    """What a merge sees of a tensor in its survey."""

    tensor: OpenTensor
    models: Sequence[int]
    base: int | None
    cuts: Sequence[Cut]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    def map(self, function: Callable[[Piece], Found]) -> list[Found]:
        return self._over(self.cuts, function)

    def map_some(self, function: Callable[[Piece], Found]) -> list[Found]:
        return self._over(self.cuts[:: max(1, len(self.cuts) // 16)], function)

    def _over(self, cuts: Sequence[Cut], function: Callable[[Piece], Found]) -> list[Found]:
        keys = [key for key in (*self.models, self.base) if key is not None]

        found = []
        for place in cuts:
            values = {key: self.tensor.read(key, place) for key in keys}
            found.append(function(_piece(self.models, self.base, values, place)))
        return found


def _piece(models: Sequence[int], base: int | None, values: Mapping[int, Tensor], place: Cut) -> Piece:
    return Piece(tuple([values[key] for key in models]), None if base is None else values[base], place.start)


def write(file: int, content: memoryview, offset: int) -> None:
    """Write all of it at an offset of an open file."""
    while len(content):
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _dtype(code: str) -> torch.dtype:
    return {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[code]


def _fits_bfloat16(tensor: Tensor) -> bool:
    # Sums of bfloat16 are slow, and its largest value is a little below that of float32, so the ends are looked at.
    low, high = (end.item() for end in tensor.aminmax()) if tensor.numel() else (0.0, 0.0)
    return low > -_LARGEST_BFLOAT16 and high < _LARGEST_BFLOAT16


def _is_finite(tensor: Tensor) -> bool:
    # One pass in the usual case: NaN and infinity survive a sum. A sum may overflow by itself, hence the second look.
    return math.isfinite(tensor.sum().item()) or bool(tensor.isfinite().all())
