"""Rows as the trainers encode them, token by token, for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from aya_core.api import Demonstration, Preference, Prompt, TokenInfo, TokenizedRow
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.pieces import TokenTexts
from aya_plugins.modeling.rows import Encoded
from aya_plugins.trainers.runtime.dropping import why_not_pairs, why_not_rows

AT_A_TIME = 32
"""Rows encoded at a time, so that the first ones are seen at once."""

Row = TypeVar("Row")


def show_demonstrations(encoder: ChatEncoder, rows: Iterable[Demonstration]) -> Iterator[TokenizedRow]:
    """Show the rows of supervised fine-tuning."""
    texts = TokenTexts(encoder.tokenizer)
    for some in _portions(rows):
        encoded = encoder.answers([(row.prompt, row.completion) for row in some])
        for place, (row, reason) in enumerate(zip(some, why_not_rows(encoded).tolist(), strict=True)):
            yield _tokenized(encoder, texts, row.prompt, "", encoded, place, reason, is_learned=True)


def show_pairs(
    encoder: ChatEncoder, rows: Iterable[Preference], *, is_whole: bool = False, is_learned: bool = True
) -> Iterator[TokenizedRow]:
    """Show pairs: each chosen answer, then its rejected one. is_whole: see `ChatEncoder.answers`."""
    texts = TokenTexts(encoder.tokenizer)
    for some in _portions(rows):
        answers = [(row.prompt, text) for row in some for text in (row.chosen, row.rejected)]
        encoded = encoder.answers(answers, is_whole=is_whole)
        reasons = why_not_pairs(encoded, some).tolist()
        for place, (prompt, _) in enumerate(answers):
            part, reason = ("chosen", "rejected")[place % 2], reasons[place // 2]
            yield _tokenized(encoder, texts, prompt, part, encoded, place, reason, is_learned=is_learned)


def _portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while some := list(islice(rest, AT_A_TIME)):
        yield some


def _tokenized(
    encoder: ChatEncoder, texts: TokenTexts, prompt: Prompt, part: str, encoded: Encoded, place: int, reason: str, *,
    is_learned: bool,
) -> TokenizedRow:  # fmt: skip
    ids = encoded.row(place)
    special = {id for id, token in encoder.tokenizer.added_tokens_decoder.items() if token.special}
    first = len(ids) - int(encoded.scored_tokens[place])
    tokens = [
        TokenInfo(id, text, is_learned and not reason and index >= first, id in special)
        for index, (id, text) in enumerate(zip(ids, texts.of(ids), strict=True))
    ]
    notes = [f"cut to max_tokens: {encoder.max_tokens}"] if encoded.truncated[place] else []
    notes += [f"dropped: {reason}"] if reason else []
    return TokenizedRow(prompt.id, prompt.language, part, tokens, "; ".join(notes))
