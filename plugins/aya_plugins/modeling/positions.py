"""How long a row a model can read."""

from __future__ import annotations

from typing import Any


def longest_row(model: Any) -> int | None:
    """Say for how many tokens a model has positions; None where its configuration sets no limit."""
    for name, layer in model.named_modules():
        if name.endswith("position_embeddings") and getattr(layer, "padding_idx", None) is not None:
            return int(layer.num_embeddings - layer.padding_idx - 1)  # RoBERTa and kin count from the padding's number
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest
