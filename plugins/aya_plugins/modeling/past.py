"""What a model has read already, handed to it again: keys and values of prefixes that rows of a batch share.

Rows that go on from the same tokens are padded on the right, where causal attention never looks, so that positions and
sliding windows need no mask. The keys and values of a prefix lie in memory once; a copy for every row exists for one layer at
a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

KeysValues = tuple[Tensor, Tensor]
"""Of one layer, each (rows, heads, tokens, dim)."""


@dataclass(frozen=True)
class Past:
    """Tokens that were read before a batch. layers: their keys and values. tokens: how many of them count.

    rows: which row of the layers each row of the batch goes on from; None where all go on from the only one.
    """

    layers: Sequence[KeysValues]
    tokens: int
    rows: Tensor | None = None

    def of(self, layer: int, batch: int) -> KeysValues:
        """The keys and values of a layer for a batch of so many rows."""
        keys, values = (tensor[:, :, : self.tokens] for tensor in self.layers[layer])
        if self.rows is None:
            return keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1)
        return keys.index_select(0, self.rows), values.index_select(0, self.rows)


class Reading(NamedTuple):
    """states: (rows, time, dim), the last hidden states. layers: keys and values of what was read, where they were kept."""

    states: Tensor
    layers: Sequence[KeysValues]


def read(model: Any, ids: Tensor, past: Sequence[Past] = (), *, keeps: bool = False) -> Reading:
    """Read token ids (rows, time) after what was read before. keeps: hand back their keys and values."""
    if not past and not keeps:
        return Reading(model.base_model(input_ids=ids, use_cache=False).last_hidden_state, ())
    cache = _Cache(past, keeps)
    states = model.base_model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
    return Reading(states, [layer.own for layer in cache.layers if layer.own is not None])


class _Cache(Cache):  # type: ignore[misc]
    """Hands every layer what it has read before; layers come into being as the model asks for them."""

    def __init__(self, past: Sequence[Past], keeps: bool) -> None:
        count = len(past[0].layers) if past else 0
        super().__init__(layers=[_Layer(past, place, keeps) for place in range(count)])
        self.past = past
        self.keeps = keeps

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> KeysValues:
        while len(self.layers) <= layer_idx:
            self.layers.append(_Layer(self.past, len(self.layers), self.keeps))
        found: KeysValues = self.layers[layer_idx].update(keys, values)
        return found


class _Layer(DynamicLayer):  # type: ignore[misc]
    """Never drops what slides out of a window: a model masks by position."""

    def __init__(self, past: Sequence[Past], place: int, keeps: bool) -> None:
        super().__init__()
        self.past = past
        self.place = place
        self.keeps = keeps
        self.tokens = sum(part.tokens for part in past)
        self.own: KeysValues | None = None

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> KeysValues:
        self.tokens += keys.shape[-2]
        if self.keeps:
            self.own = keys, values
        if not self.past:
            return keys, values
        before = [part.of(self.place, keys.shape[0]) for part in self.past]
        return (
            torch.cat([*(part[0] for part in before), keys], dim=-2),
            torch.cat([*(part[1] for part in before), values], dim=-2),
        )

    def get_seq_length(self) -> int:
        return self.tokens

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.tokens + query_length, 0
