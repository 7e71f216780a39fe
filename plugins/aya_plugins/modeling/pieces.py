"""What each token of a row stands for, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A byte that a SentencePiece vocabulary falls back to."""

SPACE = "\u2581"
"""What stands for a space in such a vocabulary."""

BEFORE = 4
"""Tokens decoded before one, by which its own text is told from the spaces that decoders put between tokens."""


class TokenTexts:
    """Gives the text of each token of a row, so that the texts one after the other are the row.

    A token may hold a part of a character's bytes; these stand as escapes, as in `\\xe7\\x8c`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.added = {id: str(token) for id, token in tokenizer.added_tokens_decoder.items()}
        decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] or {}
        steps = {step["type"] for step in decoder.get("decoders", [decoder]) if step}
        self.bytes = {char: byte for byte, char in bytes_to_unicode().items()} if "ByteLevel" in steps else None
        self.has_spaces = bool(steps & {"Metaspace", "ByteFallback"})

    def of(self, ids: Sequence[int]) -> list[str]:
        """Give the texts of a row's tokens."""
        tokens: list[str] = self.tokenizer.convert_ids_to_tokens(list(ids))
        return [self._text(ids, tokens, place) for place in range(len(ids))]

    def _text(self, ids: Sequence[int], tokens: Sequence[str], place: int) -> str:
        token = tokens[place]
        if ids[place] in self.added:
            return self.added[ids[place]]
        if self.bytes is not None and all(char in self.bytes for char in token):
            return _escaped(bytes(self.bytes[char] for char in token))
        if self.has_spaces:
            byte = BYTE.fullmatch(token)
            return _escaped(bytes([int(byte[1], 16)])) if byte else token.replace(SPACE, " ")
        start = place
        while start > 0 and place - start < BEFORE and ids[start - 1] not in self.added:
            start -= 1
        return self._decode(ids[start : place + 1])[len(self._decode(ids[start:place])) :]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
        return text


def _escaped(piece: bytes) -> str:
    return piece.decode("utf-8", errors="backslashreplace")
