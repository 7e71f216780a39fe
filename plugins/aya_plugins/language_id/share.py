"""How much of a text is in the language that was asked for, and where it falls out of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aya_plugins.language_id.scripts import foreign, letters, letters_per_character, stretches

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


CERTAIN = 0.85
IMPOSSIBLE = 0.05
"""A piece is part of a lapse where another language is CERTAIN, and the one asked for IMPOSSIBLE."""

IN_A_ROW = 80
"""Letters of a lapse in the same script, at the least: titles of books and slogans are shorter."""

STRETCH = 30
"""Letters of a lapse into another script, at the least: names and terms are shorter."""

OPENING, CLOSING = "\"“„”«»「『《‹‘'（([【", "\"”“»«」』》›’'）)]】"
"""What stands around a quotation, of which an answer may hold any."""

SEEN = 20
"""Characters of a piece by which it is found again in the text."""

LATIN_STRETCH = 100
"""The same of Latin letters, in which titles, products and terms stand in every language."""


@dataclass(frozen=True)
class Lapse:
    """A passage in another language. into: its script, or the label of the identifier. text: its beginning."""

    letters: int
    into: str
    text: str


@dataclass(frozen=True)
class Share:
    """Letters of a text by what was found, weighted as by `letters`.

    asked: in the language. other: in another one. foreign: those among `other` that are in another script. What is in
    doubt is in neither. lapses: passages in another language that are too long to be names, terms or titles.
    """

    asked: int
    other: int
    foreign: int
    lapses: tuple[Lapse, ...] = ()

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
    strange = "".join(pattern.findall(prose))
    strangers = letters(strange)
    own = pattern.sub(" ", prose) if strangers else prose
    asked, other = 0, strangers
    lapses = list(foreign_lapses(prose, script, strange)) if 2 * strangers >= STRETCH else []
    row: list[tuple[int, str, str]] = []
    for piece in pieces(own, PIECE // letters_per_character(script)):
        if count := letters(piece):
            found = identifier(piece)
            if found.label in labels:
                asked += count
                row = []
                continue
            likely = identifier.probability(piece, labels) if found.probability < 1 else 0.0
            if found.probability >= SURE or likely < UNLIKELY:
                other += count
            if found.probability >= CERTAIN and likely < IMPOSSIBLE and not is_quoted(prose, _start_of(piece, prose)):
                row.append((count, found.label, piece))
                if sum(size for size, _, _ in row) >= IN_A_ROW and not is_quoted(
                    prose, prose.find(row[0][2].strip()[:SEEN])
                ):
                    lapses.append(_joined(row))
            else:
                row = []
    return Share(asked, other, strangers, tuple(lapses))


def _start_of(piece: str, text: str) -> int:
    """Where a piece begins in the text that it was cut from; below 0 where its beginning was changed."""
    beginning = piece.strip()
    start = text.find(beginning[:SEEN])
    return start if start >= 0 else text.find(beginning.split(" ")[0])


def _joined(row: list[tuple[int, str, str]]) -> Lapse:
    labels = Counter({label: size for size, label, _ in row})
    return Lapse(sum(size for size, _, _ in row), labels.most_common(1)[0][0], row[0][2].strip())


def is_quoted(text: str, start: int, end: int | None = None) -> bool:
    """Whether a passage begins after a quotation mark or a bracket, and where its end is known, ends before one."""
    before = text[max(0, start - 3) : max(0, start)].rstrip(" *_")[-1:]
    after = '"' if end is None else text[end : end + 6].lstrip(" .,;:!?。，！？…*_")[:1]
    return before in OPENING and before != "" and after in CLOSING and after != ""


def foreign_lapses(prose: str, script: str, strangers: str) -> Iterator[Lapse]:
    """Yield the passages of a line in another script, without a letter of its own in between. strangers: all letters of other scripts."""
    for other, pattern in stretches(script).items():
        shortest = LATIN_STRETCH if other == "Latn" else STRETCH
        if 2 * letters("".join(pattern.findall(strangers))) >= shortest:  # at most half of Hindi's characters are signs
            for found in pattern.finditer(prose):
                count = max(
                    letters(found[0]), len(found[0].replace(" ", ""))
                )  # signs of vowels are no letters of their own
                if count >= shortest and not is_quoted(prose, *found.span()):
                    yield Lapse(count, other, found[0])


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
