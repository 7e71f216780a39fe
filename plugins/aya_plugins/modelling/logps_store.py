"""Log-probabilities of rows on disk, found by what a row is made of.

A store is a folder of shards that are never changed, each a safetensors file with three tensors: `names`, uint8
(rows, 16), what `row_names` says of each row; `starts`, int64 (rows + 1,); and `logps`, float32, in nats, row i having
logps[starts[i]:starts[i + 1]]. A shard is called by the hash of its bytes. So any number of processes write side by side
without a lock, what is written twice is one file, and a damaged shard is known by its name.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from safetensors.numpy import load, save

from aya_core.api import AyaError
from aya_plugins.modelling.rows import Encoded, Ints, spans
from aya_plugins.modelling.scoring import Sums

NAME_BYTES = 16
"""Of a row's name: among 10^12 rows two share one with a probability below 10^-14."""

SUFFIX = ".safetensors"
NAME_DIGITS = 32
"""Of the hash in a shard's file name."""

Names = NDArray[numpy.bytes_]


def row_names(encoded: Encoded) -> Names:
    """Name each row by a hash of its token ids and of where its answer begins: (rows,) of 16 bytes each."""
    ids = encoded.ids.astype("<i4", copy=False)
    starts = encoded.starts.tolist()
    names = bytearray()
    for start, stop, answer in zip(starts, starts[1:], encoded.answers.tolist(), strict=False):
        row = hashlib.blake2b(answer.to_bytes(8, "little"), digest_size=NAME_BYTES)
        row.update(ids[start:stop].data)
        names += row.digest()
    return numpy.frombuffer(bytes(names), dtype=f"S{NAME_BYTES}")


class Stored(NamedTuple):
    """Rows found in a shard: their places among the names asked for, tokens of each, and values end to end."""

    places: Ints
    lengths: Ints
    logps: Sums


@dataclass(frozen=True)
class LogpsStore:
    """See the module. folder: need not exist yet."""

    folder: Path

    def find(self, names: Names) -> Iterator[Stored]:
        """Yield what stands of some rows, shard by shard in the order of their file names; a row may come twice.

        names: sorted, each once. A damaged shard is deleted, so that its rows count as missing.
        """
        for file in sorted(self.folder.glob("?" * NAME_DIGITS + SUFFIX)):
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # another process found it damaged
                continue
            if _name_of(data) != file.name:
                file.unlink(missing_ok=True)
                continue
            shard = load(data)
            starts = shard["starts"]
            stored = numpy.frombuffer(shard["names"].tobytes(), dtype=f"S{NAME_BYTES}")
            places = numpy.minimum(numpy.searchsorted(names, stored), len(names) - 1)
            rows = numpy.flatnonzero(names[places] == stored)
            lengths = numpy.diff(starts)[rows]
            yield Stored(places[rows], lengths, shard["logps"][spans(starts[:-1][rows], lengths)])

    def add(self, names: Names, lengths: Ints, logps: Sums) -> None:
        """Write a shard, whole or not at all. Raises AyaError where it cannot be written."""
        starts = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int64)
        raw = numpy.frombuffer(names.astype(f"S{NAME_BYTES}").tobytes(), dtype=numpy.uint8)
        data = save({"names": raw.reshape(-1, NAME_BYTES), "starts": starts, "logps": logps.astype(numpy.float32)})
        write_beside(self.folder / _name_of(data), data)


def write_beside(file: Path, data: bytes) -> None:
    """Write a file under another name and rename it, so that no reader sees a part. Raises AyaError where it cannot be."""
    partial = file.with_name(f".{secrets.token_hex(8)}.partial")  # others may be writing the same file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.rename(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise AyaError(
            f"{file.parent}: cannot keep log-probabilities here ({error.strerror}); make room and run again: what "
            "stands there is not computed twice"
        ) from error


def _name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:NAME_DIGITS] + SUFFIX
