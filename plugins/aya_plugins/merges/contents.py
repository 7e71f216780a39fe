"""Hash weights by content, whatever files they lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from aya_plugins.merges.checkpoint import Entry, Stored

BLOCK = 1 << 19
"""Values of a tensor that are hashed together."""


class Digest:
    """The digest of one tensor: SHA-256 of the SHA-256 of its blocks of 524,288 values, which come in any order."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}

    def put(self, start: int, block: bytes) -> None:
        """Take the SHA-256 of the block whose first value is `start`."""
        self._blocks[start] = block

    def hex(self) -> str:
        """Give the digest, all blocks having come."""
        return hashlib.sha256(b"".join(block for _, block in sorted(self._blocks.items()))).hexdigest()


def hash_blocks(tensor: Stored) -> Iterator[tuple[int, bytes]]:
    """Hash a tensor block by block."""
    for start in range(0, tensor.entry.values, BLOCK):
        stop = min(start + BLOCK, tensor.entry.values)
        yield start, hashlib.sha256(tensor.raw(start, stop)).digest()


def content_hash(entries: Mapping[str, Entry], digests: Mapping[str, str]) -> str:
    """Hash a model's weights: SHA-256 of the lines `name dtype shape digest`, sorted. Shards and file names do not count."""
    lines = [
        f"{name} {entry.dtype} {','.join(map(str, entry.shape))} {digests[name]}\n"
        for name, entry in sorted(entries.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
