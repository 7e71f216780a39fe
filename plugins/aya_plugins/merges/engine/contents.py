"""Hash weights by content, whatever files they lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aya_plugins.merges.engine.checkpoint import Entry, Stored

_STEP = 1 << 19
"""Values that are hashed at once."""


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
