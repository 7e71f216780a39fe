"""Conversations to tokens for models without a chat format: question and answer as a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aya_core.api import Prompt
from aya_plugins.modelling.chat import CHUNK
from aya_plugins.modelling.rows import Encoded, RowGatherer


class TextPairEncoder:
    """Encodes a prompt and its answer as the tokenizer's own pair, `[CLS] question [SEP] answer [SEP]` or the like.

    Encoders that judge answers are trained on one question and one answer. A conversation of several turns becomes one
    text: the contents of its messages without their roles, in order, divided by blank lines.

    max_tokens: longer rows lose their end and are marked as truncated. system: put before every question.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, system: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.system = () if system is None else (system,)

    def conversations(self, pairs: Sequence[tuple[Prompt, str]]) -> Encoded:
        """Encode each prompt with its answer. The answer begins after the separator; an empty one at the last token."""
        rows = RowGatherer(self.max_tokens)
        for start in range(0, len(pairs), CHUNK):
            questions = [self._question(prompt) for prompt, _ in pairs[start : start + CHUNK]]
            answers = [answer for _, answer in pairs[start : start + CHUNK]]
            for encoding in self.tokenizer(questions, answers, verbose=False).encodings:
                is_second = [part == 1 for part in encoding.sequence_ids]
                rows.add(encoding.ids, is_second.index(True) if any(is_second) else len(encoding.ids) - 1)
        return rows.encoded()

    def _question(self, prompt: Prompt) -> str:
        return "\n\n".join((*self.system, *(message["content"] for message in prompt.messages)))
