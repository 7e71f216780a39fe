"""Rows as the trainers encode them, token by token, for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import numpy

from aya_core.api import Demonstration, Preference, TokenInfo, TokenizedRow
from aya_plugins.modeling.chat import Answer, ChatEncoder
from aya_plugins.modeling.pieces import TokenTexts
from aya_plugins.modeling.rows import Encoded
from aya_plugins.trainers.runtime.chat import compared, demonstrated
from aya_plugins.trainers.runtime.dropping import why_not_pairs, why_not_rows

AT_A_TIME = 32
"""Rows encoded at a time, so that the first ones are seen at once."""

CUT_NOTE = "cut when it was sampled, so it has no end"
UNLIKE_NOTE = "its prompt has other tokens when the model is asked"

SINGLE_NOTE = "one answer and a label, which only objectives such as kto learn from"

Row = TypeVar("Row")


def show_demonstrations(
    encoder: ChatEncoder, rows: Iterable[Demonstration], *, learns_all: bool = False
) -> Iterator[TokenizedRow]:
    """Show the rows of supervised fine-tuning, or samples. learns_all: see `ChatEncoder.answers`."""
    texts = TokenTexts(encoder.tokenizer)
    for some in _portions(rows):
        answers = demonstrated(some)
        encoded = encoder.answers(answers, learns_all=learns_all, refuses=True)
        for place, (answer, reason) in enumerate(zip(answers, why_not_rows(encoded).tolist(), strict=True)):
            yield _tokenized(encoder, texts, answer, "", encoded, place, reason, is_learned=True)


def show_pairs(
    encoder: ChatEncoder, rows: Iterable[Preference], *, is_whole: bool = False, is_learned: bool = True
) -> Iterator[TokenizedRow]:
    """Show pairs: each chosen answer, then its rejected one. is_whole: see `ChatEncoder.answers`."""
    texts = TokenTexts(encoder.tokenizer)
    for some in _portions(rows):
        answers = compared(some)
        encoded = encoder.answers(answers, is_whole=is_whole, refuses=True)
        reasons, alone = why_not_pairs(encoded, some).tolist(), why_not_rows(encoded).tolist()
        for place, answer in enumerate(answers):
            row, part, reason = some[place // 2], ("chosen", "rejected")[place % 2], reasons[place // 2]
            if row.is_pair:
                yield _tokenized(encoder, texts, answer, part, encoded, place, reason, is_learned=is_learned)
            elif (row.chosen, row.rejected)[place % 2] is not None:
                shown = _tokenized(encoder, texts, answer, part, encoded, place, alone[place], is_learned=is_learned)
                yield replace(shown, note="; ".join(filter(None, [shown.note, SINGLE_NOTE])))


def _portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while some := list(islice(rest, AT_A_TIME)):
        yield some


def _tokenized(
    encoder: ChatEncoder, texts: TokenTexts, answer: Answer, part: str, encoded: Encoded, place: int, reason: str, *,
    is_learned: bool,
) -> TokenizedRow:  # fmt: skip
    ids, begin = encoded.row(place), int(encoded.starts[place])
    special = {id for id, token in encoder.tokenizer.added_tokens_decoder.items() if token.special}
    first = max(int(encoded.answers[place]), 1)
    between = set() if encoded.between is None else set(numpy.flatnonzero(encoded.between[begin : begin + len(ids)]))
    tokens = [
        TokenInfo(id, text, is_learned and not reason and index >= first and index not in between, id in special)
        for index, (id, text) in enumerate(zip(ids, texts.of(ids), strict=True))
    ]
    notes = [f"cut to max_tokens: {encoder.max_tokens}"] if encoded.truncated[place] else []
    notes += [f"dropped: {reason}"] if reason else []
    if is_learned and not reason:
        notes += [CUT_NOTE] if answer.is_cut else []
        notes += [UNLIKE_NOTE] if encoded.unlike is not None and encoded.unlike[place] else []
    prompt = answer.prompt
    return TokenizedRow(prompt.id, prompt.language, part, tokens, "; ".join(notes))
