"""One architecture as several versions of transformers stored it: other components in front, buffers beside the weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from aya_plugins.merges.files.checkpoint import Checkpoint, Entry
from aya_plugins.merges.runtime.layers import layer_of

_WRAPPERS = frozenset({"model", "language_model", "transformer", "text_model", "gpt_neox", "base_model"})
"""Components that stand in front of names in one version of transformers and not, or in another order, in another."""

_BUFFERS = re.compile(
    r"(?:^|\.)(rotary_emb\.(?:inv_freq|cos_cached|sin_cached)|(?:attn|attention)\.(?:bias|masked_bias)|embeddings\.position_ids)$"
)
"""Tensors that old versions stored beside the weights, and that every version computes from config.json: rotary frequencies,
causal masks, positions. (`attn.bias` is a mask where it has four dimensions.)"""


def buffers_of_some(checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
    """Find the kinds of buffers that some models store and others leave out, by the end of their names."""
    found = [
        {kind for name, entry in checkpoint.entries.items() if (kind := _buffer(name, entry))}
        for checkpoint in checkpoints
    ]
    return frozenset(set().union(*found) - set(found[0]).intersection(*found)) if found else frozenset()


def without_buffers(checkpoint: Checkpoint, kinds: frozenset[str]) -> Checkpoint:
    """Give a checkpoint without some kinds of buffers."""
    kept = {name: entry for name, entry in checkpoint.entries.items() if _buffer(name, entry) not in kinds}
    return checkpoint if len(kept) == len(checkpoint.entries) else replace(checkpoint, entries=kept)


def names_as_in(donor: Checkpoint, other: Checkpoint) -> Mapping[str, str]:
    """Find the tensors that go by another name in one checkpoint only because of the components in front.

    Returns the donor's name for each such name of the other; nothing where that would not be one to one.
    """
    known, theirs = _fronts(donor.entries), _fronts(other.entries)
    by_core = _one_to_one(known)
    one_to_one = _one_to_one(theirs)
    moved = {
        front: by_core[core]
        for core, front in one_to_one.items()
        if front not in known and core in by_core and by_core[core] not in theirs
    }
    return {name: moved[front] + name.removeprefix(front) for name in other.entries if (front := _front(name)) in moved}


def with_names(checkpoint: Checkpoint, names: Mapping[str, str]) -> Checkpoint:
    """Give a checkpoint whose tensors go by other names."""
    if not names:
        return checkpoint
    return replace(checkpoint, entries={names.get(name, name): entry for name, entry in checkpoint.entries.items()})


def _buffer(name: str, entry: Entry) -> str | None:
    found = _BUFFERS.search(name)
    if found is None or (found[1].endswith(".bias") and len(entry.shape) != 4):
        return None
    return found[1]


def _front(name: str) -> str:
    """What stands in front of the number of a layer, and all of a name outside the layers."""
    layer = layer_of(name)
    return layer.stack if layer else name


def _fronts(names: Iterable[str]) -> set[str]:
    return {_front(name) for name in names}


def _one_to_one(fronts: Iterable[str]) -> dict[str, str]:
    """Index fronts by what is left without wrappers, those left out of which several leave the same."""
    found: dict[str, list[str]] = {}
    for front in fronts:
        parts = front.split(".")
        while len(parts) > 1 and parts[0] in _WRAPPERS:
            parts.pop(0)
        found.setdefault(".".join(parts), []).append(front)
    return {core: fronts[0] for core, fronts in found.items() if len(fronts) == 1}
