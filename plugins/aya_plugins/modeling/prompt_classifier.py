"""Sequence classifiers over prompts, of encoder and decoder families alike."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aya_plugins.modeling.checkpoint import load_tokenizer
from aya_plugins.modeling.memory import halving
from aya_plugins.modeling.plain import PlainEncoder
from aya_plugins.modeling.rows import Encoded, Ints, length_sorted, longest_row, padded
from aya_plugins.modeling.weights import Where

Logits = NDArray[numpy.float32]


class PromptClassifier(nn.Module):
    """Wraps a sequence classifier to give float32 logits, (rows, labels), of right-padded rows.

    Encoders need the mask so as not to read padding; decoders, by which the last token that is no padding is found in
    `input_ids`, are not disturbed by it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        config = model.config.get_text_config()
        if hasattr(config, "use_cache"):
            config.use_cache = False  # nothing is generated; encoders do not take it as an argument

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Give the logits."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits.float()


def plain_encoder(where: Where, model: Any, *, max_tokens: int) -> PlainEncoder:
    """Read the tokenizer of a classifier; rows are kept within `max_tokens` and what the model can read."""
    tokenizer = load_tokenizer(where)
    longest = min(max_tokens, tokenizer.model_max_length, longest_row(model) or max_tokens)
    return PlainEncoder(tokenizer, max_tokens=longest, where=str(where))


def batch_of(encoded: Encoded, rows: Ints, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lay out some rows: ids and mask, both (rows, time)."""
    ids, is_inside = padded(encoded, rows, pad_id)
    return torch.from_numpy(ids).to(device), torch.from_numpy(is_inside.astype(numpy.int64)).to(device)


def classify(model: Any, encoded: Encoded, rows: Ints, pad_id: int, *, batch_tokens: int) -> Logits:
    """Give the logits of the named rows, (rows, labels), without gradient; batches shrink where memory runs out."""
    module = PromptClassifier(model).eval()
    logits = numpy.zeros((len(rows), model.config.num_labels), dtype=numpy.float32)

    def run(places: Ints) -> Logits:
        found: Logits = module(*batch_of(encoded, rows[places], pad_id, model.device)).cpu().numpy()
        return found

    with torch.inference_mode():
        for batch in length_sorted(encoded.lengths[rows], batch_tokens):
            for places, found in halving(batch, run):
                logits[places] = found
    return logits
