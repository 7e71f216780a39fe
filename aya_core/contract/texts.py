"""When a text says nothing, and when two say the same."""

from __future__ import annotations


def normalize(text: str) -> str:
    """What two answers are compared by: their words, whatever the white space."""
    return " ".join(text.split())


def says_the_same(text: str, other: str) -> bool:
    """Whether two answers have the same words in the same order, whatever the white space."""
    if text == other:
        return True
    return text.split(None, FIRST)[:FIRST] == other.split(None, FIRST)[:FIRST] and text.split() == other.split()


FIRST = 8
"""Words by which most unlike answers are told apart already."""

BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""White space, and what nobody sees either, as a zero-width space."""
