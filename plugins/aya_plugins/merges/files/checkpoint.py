"""Read a Hugging Face checkpoint, in one file or in shards, as safetensors or `.bin`, and find its faults first."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aya_core.api import DataError, parse_json
from aya_plugins.merges.files.pickled import OpenPickled

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
FLOATS = ("F32", "BF16", "F16")
INTEGERS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")
_LONGEST_HEADER = 100 * 10**6
_MOST_DIMENSIONS = 64
_KEPT = 1 << 20
_STEP = 1 << 19
"""Values that are hashed at once."""

_thread = threading.local()


class Entry(NamedTuple):
    """A tensor as its file announces it. dtype: safetensors' name for it. offset: of its first byte in the file."""

    shape: tuple[int, ...]
    dtype: str
    file: Path = Path()
    offset: int = 0

    @property
    def values(self) -> int:
        """How many values it has."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.values * self.item_bytes

    @property
    def item_bytes(self) -> int:
        """How many bytes one value takes."""
        return _BYTES[self.dtype]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder, opened.

    name: in messages. config: its config.json. entries: its tensors by name. pickled: its weight files that are `.bin`.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    entries: Mapping[str, Entry]
    pickled: Mapping[Path, OpenPickled] = field(default_factory=dict)

    @cached_property
    def _open(self) -> dict[Path, OpenFile | OpenPickled]:
        return {path: self.pickled.get(path) or OpenFile(path) for path in self.files}

    @property
    def files(self) -> list[Path]:
        """Its weight files."""
        return sorted({entry.file for entry in self.entries.values()})

    def source(self, name: str) -> Stored:
        """Open one tensor."""
        entry = self.entries[name]
        return Stored(self._open[entry.file], entry)


class OpenFile:
    """A weight file, open for reading at any offset by several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._path, self._descriptor = path, os.open(path, os.O_RDONLY)

    def read(self, into: memoryview, offset: int) -> None:
        """Fill a buffer. Raises DataError where the file has become shorter."""
        while len(into):
            count = os.preadv(self._descriptor, [into], offset)
            if count == 0:
                raise DataError(f"{self._path}: became shorter while it was read; leave inputs alone during a merge")
            into, offset = into[count:], offset + count

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # not where the file could not be opened
            os.close(self._descriptor)


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint: a `Source` that reads its file.

    It reads into its own memory rather than mapping the file: as fast, but memory stays as small as a piece, and a disk
    that fails raises an error that can be told.
    """

    file: OpenFile | OpenPickled
    entry: Entry

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.entry.shape

    @property
    def dtype(self) -> str:
        """What it is stored in, safetensors' name."""
        return self.entry.dtype

    @property
    def bytes(self) -> int:
        """How many bytes it takes in its file."""
        return self.entry.bytes

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop) in float32, flat."""
        import torch

        values, _ = self.read_raw(start, stop)
        return values.to(torch.float32, copy=True)

    def read_raw(self, start: int, stop: int) -> tuple[Tensor, memoryview]:
        """Give the values [start, stop) as they are stored, and their bytes; both until this thread reads again."""
        import torch

        dtype = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[self.dtype]
        size = (stop - start) * self.entry.item_bytes
        raw = _buffer(size)
        self.file.read(raw, self.entry.offset + start * self.entry.item_bytes)
        return torch.frombuffer(raw, dtype=dtype, count=stop - start), raw

    def raw(self, start: int, stop: int) -> bytearray:
        """Give the bytes of the values [start, stop)."""
        size = self.entry.item_bytes
        content = bytearray((stop - start) * size)
        self.file.read(memoryview(content), self.entry.offset + start * size)
        return content


def _buffer(size: int) -> memoryview:
    """Give this thread's buffer, which stays in its core's cache; a large one is not kept."""
    if size > _KEPT:
        return memoryview(bytearray(size))
    if not hasattr(_thread, "buffer"):
        _thread.buffer = memoryview(bytearray(_KEPT))
    kept: memoryview = _thread.buffer
    return kept[:size]


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Open a checkpoint and check its files against its index. Raises DataError naming the file at fault."""
    name = name or folder.name
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no config.json here; expected the folder of a Hugging Face checkpoint")
    config = read_json(folder / "config.json")
    pickled: dict[Path, OpenPickled] = {}

    def read_pickled(path: Path) -> dict[str, Entry]:
        pickled[path] = OpenPickled(path)
        return {name: Entry(shape, dtype, path, start) for name, (shape, dtype, start) in pickled[path].tensors.items()}

    for single, index, read in ((SINGLE, INDEX, read_entries), (PICKLED, PICKLED_INDEX, read_pickled)):
        if (folder / index).is_file():
            entries = _sharded_entries(folder, folder / index, read)
        elif (folder / single).is_file():
            entries = read(folder / single)
        else:
            continue
        if not entries:
            raise DataError(f"{folder}: its weights hold no tensor; fetch or save the checkpoint again")
        return Checkpoint(name, folder, config, entries, pickled)
    raise DataError(
        f"{folder}: no weights here; expected {SINGLE} or {PICKLED}, or shards with {INDEX} or {PICKLED_INDEX}"
    )


def read_entries(path: Path) -> dict[str, Entry]:
    """Read what a safetensors file announces. Raises DataError where it is not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise _broken(path, f"its header has {length:,} bytes and the file {size:,}")
        text = file.read(length)
    try:
        header = json.loads(text)
        announced = {name: about for name, about in header.items() if name != "__metadata__"}
        entries = {name: _announced(about, path, 8 + length) for name, about in announced.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _broken(path, "its header is not one") from None
    end = 8 + length
    for name, (entry, stop) in sorted(entries.items(), key=lambda item: (item[1][0].offset, item[1][0].values)):
        if entry.dtype not in _BYTES:
            raise DataError(
                f"{path}: tensor '{name}' has dtype {entry.dtype}, which is not known here; convert it first"
            )
        if entry.offset != end or entry.offset + entry.bytes != stop:
            raise _broken(path, f"tensor '{name}' does not lie where the one before it ends")
        end += entry.bytes
    if end != size:
        raise _broken(path, f"it should have {end:,} bytes and has {size:,}")
    return {name: entry for name, (entry, _) in entries.items()}


def _announced(about: Any, path: Path, start: int) -> tuple[Entry, int]:
    """Read what a header says of one tensor, and where it ends in the file. Raises ValueError for anything else."""
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(dtype, str) or not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError("expected a dtype, a shape and two offsets")
    return Entry(tuple(shape), dtype, path, start + offsets[0]), start + offsets[1]


def _are_counts(listed: Any) -> bool:
    """Whether something is a list of a few whole numbers, none of them negative."""
    return (
        isinstance(listed, list)
        and len(listed) <= _MOST_DIMENSIONS
        and all(type(number) is int and 0 <= number < 1 << 63 for number in listed)  # not a bool, which is an int, too
    )


def _broken(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a whole safetensors file ({why}); fetch or save the checkpoint again")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _sharded_entries(folder: Path, index: Path, read: Callable[[Path], dict[str, Entry]]) -> dict[str, Entry]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise DataError(f"{index}: no 'weight_map' in it; expected the index of a sharded checkpoint")
    for name, file in weight_map.items():
        if not isinstance(file, str):
            raise DataError(
                f"{index}: says {json.dumps(file)[:80]} of '{name}', expected the name of a file; fetch or save it again"
            )
    entries: dict[str, Entry] = {}
    for file in sorted(set(weight_map.values())):
        path = folder / file
        if path.parent != folder or not _is_file(path):
            raise DataError(f"{path}: a shard that {index.name} names is missing; fetch or save the checkpoint again")
        found = read(path)
        listed = {name for name, place in weight_map.items() if place == file}
        if absent := sorted(listed - set(found)):
            raise DataError(
                f"{path}: no tensor '{absent[0]}' in it, though {index.name} says so; save the checkpoint again"
            )
        if unlisted := sorted(set(found) - listed):
            raise DataError(f"{path}: {index.name} does not list its tensor '{unlisted[0]}'; save the checkpoint again")
        entries |= found
    return entries


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises DataError where it is none."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not JSON ({error}); fetch or save it again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object")
    return content


def tensor_digest(tensor: Stored) -> str:
    """SHA-256 of a tensor's bytes."""
    digest = hashlib.sha256()
    for start in range(0, tensor.entry.values, _STEP):
        digest.update(tensor.raw(start, min(start + _STEP, tensor.entry.values)))
    return digest.hexdigest()


def content_hash(entries: Mapping[str, Entry], digests: Mapping[str, str]) -> str:
    """Hash a model's weights: SHA-256 of the lines `name dtype shape digest`, sorted. Shards and file names do not count."""
    lines = [
        f"{name} {entry.dtype} {','.join(map(str, entry.shape))} {digests[name]}\n"
        for name, entry in sorted(entries.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
