"""Text in pieces, each long enough to be identified by itself."""

from __future__ import annotations

import re

ENDS = re.compile(r"[\n.!?…:;؟۔।。！？；：\"“„«»”「」『』]+")
"""Where text may be cut: between lines, after sentences, and at quotation marks."""


def pieces(text: str, shortest: int) -> list[str]:
    """Cut at sentences, lines and quotations, and join neighbours until each piece has some characters.

    shortest: characters that a piece has at the least; the last may be shorter. What is as long as that by itself, a
    quotation for example, stands alone.
    """
    made: list[str] = []
    parts: list[str] = []
    size = 0
    for part in ENDS.split(text):
        if parts and max(size, len(part)) >= shortest:
            made.append(" ".join(parts))
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    return [*made, " ".join(parts)] if size else made
