"""Rows end to end or side by side: which of the two a model is given."""

from __future__ import annotations

from typing import Any

import numpy
import torch

from aya_core.api import AyaError
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import RowGatherer, collate

VARLEN = ("flash_attention_2", "flash_attention_3", "flex_attention")
"""Implementations of attention whose cost is that of each row alone. Others pay for every pair of tokens in the line."""


def set_attention(model: Any, name: str) -> None:
    """Choose how a model computes attention, by the name that transformers gives it. Raises AyaError where it cannot."""
    try:
        model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        raise AyaError(f"attention: {name}: {str(error).splitlines()[0]}; choose another, or leave it out") from None


def is_padding_free(module: AnswerLogps, layout: str, attention: str | None = None) -> bool:
    """Say whether rows go through a model end to end.

    layout: `auto` does it where attention takes rows of different lengths for what they are; `padding-free` and `padded` say
    so themselves. attention: what will be computed with, None for what the model has; the model is tried with what it has,
    for it is the rest of the model that may carry on from row to row, and flash attention does not run where models are loaded.

    Raises AyaError for `padding-free` with a model in which rows would see one another.
    """
    has_varlen = (attention or module.model.config._attn_implementation) in VARLEN
    if layout == "padded" or (layout == "auto" and not has_varlen):
        return False
    if (error := _difference(module)) > 0.01:
        if layout == "auto":
            return False
        raise AyaError(
            f"layout: padding-free: end to end, rows see one another in {type(module.model).__name__} (hidden states differ by a "
            f"share of {error:.2g}); use layout: padded"
        )
    return True


def _difference(module: AnswerLogps) -> float:
    """By how much the hidden states of three short rows differ between the two layouts, as a share of the largest."""
    gatherer = RowGatherer(12)
    for length in (7, 12, 5):  # more than the convolutions of recurrent models look back
        gatherer.add(list(range(1, length + 1)), 1)
    device = next(module.parameters()).device
    batch = collate(gatherer.encoded(), numpy.arange(3), 0, device)
    was_training, was_free = module.training, module.is_padding_free
    module.eval()
    with torch.no_grad():
        module.is_padding_free = False
        apart = module.hidden(batch).float()
        module.is_padding_free = True
        together = module.hidden(batch).float()
    module.train(was_training)
    module.is_padding_free = was_free
    return float((apart - together).abs().max() / apart.abs().max())
