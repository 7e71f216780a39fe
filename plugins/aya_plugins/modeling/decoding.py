"""Generated tokens as text, with the marks of reasoning in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aya_plugins.answers.reasoning import MARKS, ends_open

LAST_TOKENS = 24
"""Of a prompt, which hold a mark that opens reasoning and what may follow it."""


class AnswerDecoder:
    """Decodes answers without special tokens, but for those that mark reasoning: of gpt-oss, Magistral or Command A."""

    def __init__(self, tokenizer: Any) -> None:
        added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        special = added | set(tokenizer.all_special_ids)
        self._tokenizer = tokenizer
        self._marks = {id for id in special if tokenizer.convert_ids_to_tokens(id) in MARKS}
        self._special = special - self._marks

    def texts(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of tokens."""
        texts: list[str] = self._tokenizer.batch_decode(rows, skip_special_tokens=True)
        for place, row in enumerate(rows):
            if not self._marks.isdisjoint(row):
                kept = [id for id in row if id not in self._special]
                texts[place] = self._tokenizer.decode(kept, skip_special_tokens=False)
        return texts

    def is_open(self, prompt: Sequence[int]) -> bool:
        """Whether a prompt ends in the mark that opens reasoning, as templates of reasoning models have it."""
        return ends_open(self._tokenizer.decode(prompt[-LAST_TOKENS:], skip_special_tokens=False))
