"""Attention of one new token to what was read before it, without a copy of keys and values for every head that shares them."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "aya-grouped"
"""By which transformers knows it."""


def use_grouped_attention(model: Any) -> None:
    """Have a model compute attention so, where it would take PyTorch's: any other way, it knows why."""
    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, *,
    dropout: float = 0.0, scaling: float | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Compute what transformers' `sdpa` does: (rows, 1, heads, dim) of a query (rows, heads, 1, dim).

    The heads that share a key stand beside one another, so they are taken for so many queries of one head (Ainslie et al. 2023,
    arXiv 2305.13245, grouped queries). Longer queries are left to transformers, which copies keys and values for each head.
    """
    rows, heads, time, dim = query.shape
    shared = heads // key.shape[1]
    if time > 1 or shared == 1 or more.get("position_bias") is not None or _is_by_head(attention_mask):
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return out
    queries = query.reshape(rows, key.shape[1], shared, dim)
    found = functional.scaled_dot_product_attention(
        queries, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return found.reshape(rows, 1, heads, value.shape[-1]), None


def _is_by_head(mask: Tensor | None) -> bool:
    return mask is not None and mask.dim() == 4 and mask.shape[1] > 1
