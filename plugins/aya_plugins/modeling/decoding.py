"""Generated tokens as text, with the marks of reasoning in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aya_plugins.answers.reasoning import MARKS, ends_open

LAST_TOKENS = 24
"""Of a prompt, which hold a mark that opens reasoning and what may follow it."""


def decode_answers(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """Decode answers without their special tokens, but for those that mark reasoning: of gpt-oss, Magistral or Command A."""
    texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True)
    special = {id for id in tokenizer.all_special_ids if tokenizer.convert_ids_to_tokens(id) not in MARKS}
    marks = set(tokenizer.all_special_ids) - special
    for place, row in enumerate(rows):
        if not marks.isdisjoint(row):
            texts[place] = tokenizer.decode([id for id in row if id not in special], skip_special_tokens=False)
    return texts


def is_open(tokenizer: Any, prompt: Sequence[int]) -> bool:
    """Whether a prompt ends in the mark that opens reasoning, as templates of reasoning models have it."""
    return ends_open(tokenizer.decode(prompt[-LAST_TOKENS:], skip_special_tokens=False))
