"""How much of a text is in the language that was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_plugins.language_id.scripts import foreign, letters, letters_per_character

if TYPE_CHECKING:
    from aya_plugins.language_id.identifier import Identifier

ENDS = re.compile(r"[\n.!?…:;؟۔।。！？；：\"“„«»”「」『』]+")
"""Where text may be cut: between lines, after sentences, and at quotation marks."""

PIECE = 60
"""Letters of a piece, at the least: a sentence. Pieces of 100 are as right, but hide a change of language more often."""

SURE = 0.7
UNLIKELY = 0.1
"""A piece speaks against the language only where another one is at least SURE, or it is itself UNLIKELY. Of texts of 60
characters 0.3% are then refused in their own language; without the doubt 1%, without UNLIKELY 0.2%, but then 96 of 100
Croatian texts would pass for Polish, as Croatian and its twins share their probability."""


@dataclass(frozen=True)
class Share:
    """Letters of a text by what was found, weighted as by `letters`.

    asked: in the language. other: in another one. foreign: those among `other` that are in another script. What is in
    doubt is in neither.
    """

    asked: int
    other: int
    foreign: int

    @property
    def letters(self) -> int:
        """All of which something could be said."""
        return self.asked + self.other

    @property
    def value(self) -> float:
        """The part in the language, from 0 to 1."""
        return self.asked / self.letters if self.letters else 0.0


def share(identifier: Identifier, prose: str, labels: frozenset[str], script: str) -> Share:
    """Measure how much of a prose is in a language: letters of its script, in pieces that the identifier gives its label.

    Words in another script count against the language, but are kept from the identifier: a Russian sentence about
    "machine learning" stays Russian.
    """
    pattern = foreign(script)
    strangers = letters("".join(pattern.findall(prose)))
    own = pattern.sub(" ", prose) if strangers else prose
    asked, other = 0, strangers
    for piece in pieces(own, PIECE // letters_per_character(script)):
        if count := letters(piece):
            found = identifier(piece)
            if found.label in labels:
                asked += count
            elif found.probability >= SURE or identifier.probability(piece, labels) < UNLIKELY:
                other += count
    return Share(asked, other, strangers)


def pieces(text: str, shortest: int) -> list[str]:
    """Cut at sentences, lines and quotations, and join neighbors until each piece has some characters.

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
