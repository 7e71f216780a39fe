"""One token after the other: keys and values are written into room that was made ahead, and rows that have ended leave the batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from aya_plugins.modeling.rows import Encoded, Ints, RowGatherer, left_padded

log = logging.getLogger(__name__)

STAYING = 0.75
"""Share of the rows of a batch: when no more are left that have not ended, the others leave, which copies what was read."""

PADDING = 0.1
"""Most share of padding in prompts that are read together,"""

FEW_TOKENS = 512
"""unless they are few tokens: so many make a product worth its start."""

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""Tokens (rows,) from scores (rows, vocabulary) in float32, which rows of all these are, and the number of the step."""

HasEnded = Callable[[Tensor], Tensor]
"""Which rows end with their last token, (rows,), from the tokens (rows, time) that were made of them."""


def decode(
    model: Any, prompts: Encoded, rows: Ints, *, copies: int, steps: int, pad_id: int, choose: Choose, has_ended: HasEnded
) -> Tensor:  # fmt: skip
    """Go on from some prompts until all rows have ended, or for so many steps: tokens (rows x copies, time), padded where a row has ended.

    copies: answers to each prompt, which is read once. steps: one at least.
    """
    lengths = torch.from_numpy(prompts.lengths[rows].astype(numpy.int64)).to(model.device)
    width = int(lengths.max())
    cache = _Rooms(width + steps)
    scores = _read_prompts(model, prompts, rows, pad_id, cache)
    all_rows = torch.arange(len(rows), device=model.device).repeat_interleave(copies)
    if copies > 1:
        cache.keep(all_rows)
        scores, lengths = scores[all_rows], lengths[all_rows]
    made = torch.full((len(all_rows), steps), pad_id, device=model.device)
    here = torch.arange(len(all_rows), device=model.device)  # which of all rows those of the batch are
    alive = torch.ones_like(here, dtype=torch.bool)
    for step in range(steps):
        tokens = choose(scores, here, step)
        made[here[alive], step] = tokens[alive]
        alive &= ~has_ended(made[here, : step + 1])
        left = int(alive.sum())
        if not left or step == steps - 1:
            return made[:, : step + 1]
        if left <= STAYING * len(here):
            kept = alive.nonzero()[:, 0]
            cache.keep(kept)
            here, tokens, lengths, alive = here[kept], tokens[kept], lengths[kept], alive[kept]
        seen = torch.arange(width + step + 1, device=model.device) >= width - lengths[:, None]
        scores = _read(model, tokens[:, None], seen.long(), (lengths + step)[:, None], cache)
    raise AssertionError("no step")


def _read_prompts(model: Any, prompts: Encoded, rows: Ints, pad_id: int, cache: _Rooms) -> Tensor:
    """Read prompts, those of like length together, so that little of what is read is padding; give the scores of what follows."""
    lengths = prompts.lengths[rows]
    order = numpy.argsort(-lengths, kind="stable")
    width, start = int(lengths.max()), 0
    scores: list[Tensor] = []
    while start < len(order):
        longest = int(lengths[order[start]])
        alike = int((lengths[order[start:]] >= (1 - PADDING) * longest).sum())
        group = order[start : start + max(alike, FEW_TOKENS // longest, 1)]
        ids, mask = (torch.from_numpy(one).to(model.device) for one in left_padded(prompts, rows[group], pad_id))
        own = _Rooms(longest)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        scores.append(_read(model, ids, None if bool(mask.all()) else mask, positions, own))
        cache.take(own, torch.from_numpy(group).to(model.device), len(order), width)
        start += len(group)
    place = torch.from_numpy(numpy.argsort(order)).to(model.device)
    return torch.cat(scores)[place]


def _read(model: Any, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Cache) -> Tensor:
    """Read tokens (rows, time), and give the scores of what follows: float32, (rows, vocabulary)."""
    found = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    )  # fmt: skip
    scores: Tensor = found.logits[:, -1].float()
    return scores


class _Rooms(Cache):  # type: ignore[misc]
    """A room for each layer, made when the layer asks for it. tokens: that fit."""

    def __init__(self, tokens: int) -> None:
        super().__init__(layers=[])
        self.tokens = tokens

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        while len(self.layers) <= layer_idx:
            self.layers.append(_Room(self.tokens))
        found: tuple[Tensor, Tensor] = self.layers[layer_idx].update(keys, values)
        return found

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.layers[layer_idx].tokens if layer_idx < len(self.layers) else 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length(layer_idx) + query_length, 0

    def take(self, other: _Rooms, rows: Tensor, count: int, end: int) -> None:
        """Take over what another cache holds of some rows, of so many, so that it ends before a column."""
        while len(self.layers) < len(other.layers):
            self.layers.append(_Room(self.tokens))
        for own, layer in zip(self.layers, other.layers, strict=True):
            own.take(layer, rows, count, end)

    def keep(self, rows: Tensor) -> None:
        """Let these rows be the batch, in this order; one may be named several times."""
        for layer in self.layers:
            layer.keep(rows)


class _Room(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a layer, (rows, heads, room, dim). Nothing slides out of a window: models mask by position."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.tokens = 0

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self._begin(keys, values, len(keys))
        start, self.tokens = self.tokens, self.tokens + keys.shape[2]
        self.keys[:, :, start : self.tokens] = keys
        self.values[:, :, start : self.tokens] = values
        return self.keys[:, :, : self.tokens], self.values[:, :, : self.tokens]

    def _begin(self, keys: Tensor, values: Tensor, count: int) -> None:
        # Zeros: what no row may look at must be numbers all the same.
        self.keys, self.values = (
            new.new_zeros((count, new.shape[1], self.room, new.shape[3])) for new in (keys, values)
        )
        self.is_initialized = True

    def take(self, other: _Room, rows: Tensor, count: int, end: int) -> None:
        if not self.is_initialized:
            self._begin(other.keys, other.values, count)
        self.tokens = end
        for own, held in ((self.keys, other.keys), (self.values, other.values)):
            own[rows, :, end - other.tokens : end] = held[:, :, : other.tokens]

    def keep(self, rows: Tensor) -> None:
        self.keys, self.values = (self._kept(held, rows) for held in (self.keys, self.values))

    def _kept(self, held: Tensor, rows: Tensor) -> Tensor:
        made = held.new_zeros((len(rows), *held.shape[1:]))
        made[:, :, : self.tokens] = held[:, :, : self.tokens].index_select(0, rows)
        return made


def can_decode(model: Any) -> bool:
    """Try a model on two short rows, one of them padded: whether, token by token, it says what it says of whole rows.

    Recurrent models keep no keys and values, and some rotations change with the length of a row.
    """
    config = model.config.get_text_config()
    if getattr(model, "_is_stateful", False) or model.config.is_encoder_decoder:
        return False
    rotations = str(getattr(config, "rope_parameters", None))
    if "'dynamic'" in rotations or "'longrope'" in rotations:
        return False
    rows = [[token % config.vocab_size for token in row] for row in ([7, 8, 9, 4, 5, 6], [3, 4, 9, 8])]
    gatherer = RowGatherer(1 << 30)
    for row in rows:
        gatherer.add(row[:-2], len(row) - 2)
    try:
        with torch.inference_mode():
            cache = _Rooms(6)
            _read_prompts(model, gatherer.encoded(), numpy.arange(2), 0, cache)
            cache.keep(torch.tensor([1, 0], device=model.device))
            in_parts = []
            for at in (-2, -1):
                tokens = torch.tensor([[row[at]] for row in reversed(rows)], device=model.device)
                seen = torch.tensor([[0] * (6 - len(row)) + [1] * len(row) for row in reversed(rows)])
                places = torch.tensor([[len(row) + at] for row in reversed(rows)], device=model.device)
                in_parts.append(_read(model, tokens, seen[:, : 7 + at].to(model.device), places, cache))
            whole = [
                model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0, -2:].float()
                for row in reversed(rows)
            ]
    except Exception as error:  # whatever an architecture does with a cache that it does not know
        log.debug("%s: %s", type(model).__name__, error)
        return False
    off = (torch.stack(in_parts, 1) - torch.stack(whole)).abs().max()
    most = 1e-4 if model.dtype in (torch.float32, torch.float64) else 0.05
    return bool(off <= most * torch.stack(whole).abs().max())
