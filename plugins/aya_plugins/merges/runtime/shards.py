"""Write a checkpoint's shards as their tensors come, and keep those that are whole."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import AyaError, DamageError, file_hash, flush, read_sealed, rename, set_aside, write_sealed
from aya_plugins.merges.files.checkpoint import INDEX, SINGLE, Entry


class Slot(NamedTuple):
    """Where a tensor's bytes go: a file, and the offset of the first."""

    file: Path
    offset: int


def plan_shards(entries: Mapping[str, Entry], max_bytes: int) -> dict[str, list[str]]:
    """Lay tensors out over files, in natural order of their names, each of at most max_bytes.

    A larger tensor has a file of its own. The layout depends on names, shapes and dtypes alone, not on how any input was
    laid out.
    """
    shards: list[list[str]] = [[]]
    filled = 0
    for name in sorted(entries, key=natural):
        if shards[-1] and filled + entries[name].bytes > max_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += entries[name].bytes
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    return {f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors": shard for i, shard in enumerate(shards)}


class Shards:
    """The shards of one checkpoint, whose tensors are written in any order.

    folder: where shards are made. One that is whole has its name there, and notes with its hash beside it; those found there are
    kept. A damaged one is set aside, and made again.
    """

    def __init__(self, folder: Path, entries: Mapping[str, Entry], max_bytes: int) -> None:
        self.folder, self._entries = folder, entries
        self._layout = plan_shards(entries, max_bytes)
        self._file_of = {name: file for file, names in self._layout.items() for name in names}
        self._kept = {file: notes for file in self._layout if (notes := self._read_notes(file)) is not None}
        self._offsets: dict[str, int] = {}
        self._missing: dict[str, set[str]] = {}
        self._noted: dict[str, dict[str, dict[str, str]]] = {}

    def has(self, name: str) -> bool:
        """Whether a tensor lies in a shard that was whole already."""
        return self._file_of[name] in self._kept

    def notes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what was noted of the tensors of shards that were whole already."""
        for notes in self._kept.values():
            yield from notes.items()

    @property
    def missing_bytes(self) -> int:
        """Bytes of the tensors that are still to be written."""
        return sum(entry.bytes for name, entry in self._entries.items() if not self.has(name))

    def begin(self, name: str) -> None:
        """Make room for a tensor. Raises AyaError where the disk has none."""
        file = self._file_of[name]
        if file not in self._missing:
            self._make(file, *self._planned(file))
            self._missing[file] = set(self._layout[file])
            self._noted[file] = {}

    def slot(self, name: str) -> Slot:
        """Say where a tensor's bytes go."""
        file = self._file_of[name]
        if name not in self._offsets:
            self._planned(file)
        return Slot(self._building(file), self._offsets[name])

    def done(self, name: str, notes: Mapping[str, Any]) -> None:
        """Take note that a tensor is written; the shard whose last it is gets its name. notes: to keep of the tensor."""
        file = self._file_of[name]
        self._missing[file].discard(name)
        self._noted[file][name] = dict(notes)
        if not self._missing[file]:
            building = self._building(file)
            flush(building)
            write_sealed(self._notes(file), {"shard": file_hash(building), "tensors": self._noted.pop(file)})
            rename(building, self.folder / file)

    def abandon(self) -> None:
        """Remove what is not whole."""
        for file in self._missing:
            self._building(file).unlink(missing_ok=True)

    def move(self, out: Path) -> list[Path]:
        """Move all shards to the checkpoint's folder, with an index where there are several; return them."""
        for file in self._layout:
            shutil.move(self.folder / file, out / file)
            self._notes(file).unlink()
        if len(self._layout) > 1:
            total = sum(entry.bytes for entry in self._entries.values())
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(self._file_of.items()))}
            (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        return [out / file for file in self._layout]

    def _read_notes(self, file: str) -> Mapping[str, Any] | None:
        """What was noted of the tensors of a shard; None where there is no such shard, or not as it was written."""
        shard = self.folder / file
        if not shard.is_file():
            return None
        try:
            found = read_sealed(self._notes(file))
            if file_hash(shard) != found["shard"]:
                raise DamageError(f"{shard}: damaged: its bytes are not those that were written")
        except (DamageError, FileNotFoundError) as error:
            print(f"{error}. The shard is made again; what was there is kept as {set_aside(shard)}", file=sys.stderr)
            return None
        tensors: Mapping[str, Any] = found["tensors"]
        return tensors

    def _notes(self, file: str) -> Path:
        return self.folder / f"{file}.json"

    def _building(self, file: str) -> Path:
        return self.folder / f"{file}.building"

    def _planned(self, file: str) -> tuple[bytes, int]:
        """Lay out a shard; give its header, and its length in bytes."""
        # Widest dtype first, so that every tensor starts at a multiple of its item size, as safetensors itself does it.
        names = sorted(self._layout[file], key=lambda name: (-self._entries[name].item_bytes, natural(name)))
        header = _header(names, self._entries)
        offset = len(header)
        for name in names:
            self._offsets[name] = offset
            offset += self._entries[name].bytes
        return header, offset

    def _make(self, file: str, header: bytes, length: int) -> None:
        path = self._building(file)
        try:
            with path.open("wb") as opened:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(opened.fileno(), 0, length)
                opened.write(header)
        except OSError as error:
            path.unlink(missing_ok=True)
            if is_full(error):
                raise no_space(self.folder, length) from None
            raise


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk, or a user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_space(folder: Path, needed: int) -> AyaError:
    """Say that a disk is full. needed: bytes, at least."""
    free = shutil.disk_usage(folder).free
    return AyaError(
        f"{folder}: no space left: {needed / 2**30:.2f} GiB are needed and {free / 2**30:.2f} are free; "
        "make room and run again, finished shards are kept"
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which layer 2 comes before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _header(names: Sequence[str], entries: Mapping[str, Entry]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses a file without it
    offset = 0
    for name in names:
        entry = entries[name]
        end = offset + entry.bytes
        header[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
