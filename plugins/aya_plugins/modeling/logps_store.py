"""Log-probabilities of rows on disk, found by what a row is made of.

A store is a folder of shards that are never changed, each a safetensors file with three tensors: `keys`, uint8
(rows, 16), what `row_keys` says of each row; `starts`, int64 (rows + 1,); and `logps`, float32, in nats, row i having
logps[starts[i]:starts[i + 1]]. A shard is called by the hash of its bytes. So any number of processes write side by side
without a lock, what is written twice is one file, and a damaged shard is known by its name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from safetensors.numpy import load, save

from aya_core.api import AyaError, make_folder, named_by_hash, set_aside, write_file
from aya_plugins.modeling.rows import Encoded, Ints, spans
from aya_plugins.modeling.scoring import Sums

KEY_BYTES = 16
"""Of a row's key: among 10^12 rows two share one with a probability below 10^-14."""

SUFFIX = ".safetensors"

Keys = NDArray[numpy.bytes_]


def row_keys(encoded: Encoded) -> Keys:
    """Make the key of each row, a hash of its token ids and of where its answer begins: (rows,) of 16 bytes each."""
    keys = bytearray()
    answers = iter(encoded.answers)
    for starts, some in encoded.portions():
        ids, places = some.astype("<i4", copy=False), starts.tolist()
        for start, stop, answer in zip(places, places[1:], answers, strict=False):
            row = hashlib.blake2b(int(answer).to_bytes(8, "little"), digest_size=KEY_BYTES)
            row.update(ids[start:stop].data)
            keys += row.digest()
    return numpy.frombuffer(bytes(keys), dtype=f"S{KEY_BYTES}")


class Stored(NamedTuple):
    """Rows found in a shard: their places among the keys asked for, tokens of each, and values end to end."""

    places: Ints
    lengths: Ints
    logps: Sums


@dataclass(frozen=True)
class LogpsStore:
    """See the module. folder: need not exist yet."""

    folder: Path

    def find(self, keys: Keys) -> Iterator[Stored]:
        """Yield what stands of some rows, shard by shard in the order of their file names; a row may come twice.

        keys: sorted, each once. A damaged shard is set aside, so that its rows count as missing.
        """
        for file in sorted(self.folder.glob(f"sha256-*{SUFFIX}")):
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # another process found it damaged
                continue
            if named_by_hash(data, SUFFIX) != file.name:
                with suppress(FileNotFoundError):  # another process found it damaged
                    aside = set_aside(file)
                    print(f"{file}: damaged; its rows are scored again, and it is kept as {aside}", file=sys.stderr)
                continue
            shard = load(data)
            starts = shard["starts"]
            stored = numpy.frombuffer(shard["keys"].tobytes(), dtype=f"S{KEY_BYTES}")
            places = numpy.minimum(numpy.searchsorted(keys, stored), len(keys) - 1)
            rows = numpy.flatnonzero(keys[places] == stored)
            lengths = numpy.diff(starts)[rows]
            yield Stored(places[rows], lengths, shard["logps"][spans(starts[:-1][rows], lengths)])

    def add(self, keys: Keys, lengths: Ints, logps: Sums) -> None:
        """Write a shard, whole or not at all. Raises AyaError where it cannot be written."""
        starts = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int64)
        raw = numpy.frombuffer(keys.astype(f"S{KEY_BYTES}").tobytes(), dtype=numpy.uint8)
        data = save({"keys": raw.reshape(-1, KEY_BYTES), "starts": starts, "logps": logps.astype(numpy.float32)})
        write_beside(self.folder / named_by_hash(data, SUFFIX), data)


def write_beside(file: Path, data: bytes) -> None:
    """Write a file of a store whole. Raises AyaError where that cannot be."""
    try:
        make_folder(file.parent)
        write_file(file, data)
    except OSError as error:
        raise AyaError(
            f"{file.parent}: cannot keep log-probabilities here ({error.strerror}); make room and run again: what "
            "stands there is not computed twice"
        ) from error
