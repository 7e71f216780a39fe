"""Fresh models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aya_core.api import Field, Settings, Trainer, TrainerStrategy


class TokenizerSettings(Settings):
    """A tokenizer made from the texts of the rows."""

    kind: Literal["words", "bpe"] = Field(
        "bpe",
        description="words: one token for each word between spaces; bpe: byte-level byte-pair encoding.",
    )
    vocab_size: int | None = Field(
        None, ge=1, description="Most tokens, special ones included; none: every word, or 32,000 for bpe."
    )


class Initialize(TrainerStrategy):
    """Make a checkpoint with random weights from a configuration.

    The tokenizer is built from the texts of the rows and has Cohere's chat format.
    """

    imports = (
        "torch",
        "tokenizers",
        "transformers.modeling_utils",
        "transformers.generation",
        "aya_plugins.trainers.runtime.initialize",
    )
    extra = "train"
    reads = "any"

    config: Mapping[str, Any] = Field(
        description="The model's configuration as transformers names it: model_type, hidden_size, ... The "
        "vocabulary's "
        "size and special ids come from the tokenizer."
    )
    tokenizer: TokenizerSettings = Field(TokenizerSettings(), description="How to make the tokenizer.")

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.initialize import InitializeTrainer

        return InitializeTrainer(self.config, self.tokenizer.kind, self.tokenizer.vocab_size, self)
