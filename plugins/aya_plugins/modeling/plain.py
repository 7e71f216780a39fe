"""Prompts as plain text to tokens, for models that only read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from aya_core.api import DataError, Prompt
from aya_plugins.modeling.rows import Encoded


class PlainEncoder:
    """Encodes what was said in a conversation, without chat template, the way the tokenizer wraps any text.

    System messages are left out. A prompt that is too long loses its middle: instructions stand at the start or the
    end, and so do the tokens that the tokenizer wraps around a text, which are kept.

    Source: head and tail of a long text, Sun et al. 2019, arXiv 1905.05583, section 5.3.1.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, where: str) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.pad_id = pad_id_of(tokenizer, where)

    def prompts(self, prompts: Sequence[Prompt]) -> Encoded:
        """Encode prompts; one of which no token is left becomes a single padding token, as no row may be empty."""
        texts = ["\n".join(turn["content"] for turn in p.messages if turn["role"] != "system") for p in prompts]
        encodings = self.tokenizer(texts, verbose=False).encodings if texts else []
        rows = [self._shortened(encoding) or [self.pad_id] for encoding in encodings]
        lengths = numpy.array([len(row) for row in rows], dtype=numpy.int64)
        return Encoded(
            ids=numpy.array([token for row in rows for token in row], dtype=numpy.int32),
            starts=numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int64),
            answers=lengths,
            truncated=numpy.array([len(encoding.ids) > self.max_tokens for encoding in encodings], dtype=numpy.bool_),
        )

    def _shortened(self, encoding: Any) -> list[int]:
        ids: list[int] = encoding.ids
        over = len(ids) - self.max_tokens
        if over <= 0:
            return ids
        text = [place for place, is_wrapping in enumerate(encoding.special_tokens_mask) if not is_wrapping]
        middle = (text[0] + text[-1] + 1 - over) // 2  # where the cut begins
        return ids[:middle] + ids[middle + over :]


def pad_id_of(tokenizer: Any, where: str) -> int:
    """Name the token that fills up short rows: the end of sequence where a tokenizer has none for it."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise DataError(
        f"{where}: its tokenizer names neither pad_token nor eos_token; add a pad_token to tokenizer_config.json"
    )
