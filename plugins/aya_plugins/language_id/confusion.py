"""Where an answer falls out of its language: lines in another one, and English words in a line of the right one.

Source: Marchisio et al. 2024, arXiv 2406.20052, section 3, and its published metrics (compute_metrics.py).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aya_core.api import DataError
from aya_plugins.language_id.scripts import EAST_ASIAN, script_of

if TYPE_CHECKING:
    from aya_plugins.language_id.identifier import Identifier

SHORTEST = 5
"""Words of a line that is looked at; shorter ones cannot be identified."""

LEAST = 0.3
"""Probability below which the language of a line is unknown, and so not the right one."""

LETTERS = 4
"""Of an English word that counts, at the least. It is written in small letters: names and abbreviations are not English."""

WORD_LENGTHS = {EAST_ASIAN: 2, re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"): 5}
"""Scripts that put no spaces between words, and how many characters are taken for one: Chinese and Japanese; Thai, Lao, Burmese and
Khmer."""

_DROPPED = str.maketrans("", "", string.punctuation + "،")
_LATIN = re.compile("[A-Za-z]+")


class Confusion(NamedTuple):
    """What was found of one answer. lines: that are long enough. wrong: of these, those not in the language.

    words: English ones in its lines; None where that is not defined: in Latin script, or where a line is wrong already.
    """

    lines: int
    wrong: int
    words: tuple[str, ...] | None


def has_words(language: str) -> bool:
    """Whether English words can be told from a language's: where it is not written in Latin letters."""
    script = script_of(language)
    return script is not None and script != "Latn"


def confusion(
    identifier: Identifier, text: str, language: str, labels: Set[str], is_english: Callable[[str], bool]
) -> Confusion:
    """Look at an answer line by line. labels: what the identifier may call its language. is_english: of a word in small letters."""
    lines = [line for line in plain(text).split("\n") if len(tokens(line)) >= SHORTEST and any(map(str.isalpha, line))]
    wrong = 0
    for line in lines:
        found = identifier(line)
        wrong += found.label not in labels or found.probability <= LEAST
    if wrong or not has_words(language):
        return Confusion(len(lines), wrong, None)
    words = [word for line in lines for word in english_words(line) if is_english(word)]
    return Confusion(len(lines), 0, tuple(dict.fromkeys(words)))


def plain(text: str) -> str:
    """Drop punctuation of ASCII and the Arabic comma, and put spaces for long dashes, as the benchmark does."""
    return text.strip().translate(_DROPPED).replace("—", " ")


def tokens(line: str) -> list[str]:
    """Cut a line into words: at spaces, and in scripts that set none into words of a usual length and what is Latin among them.

    The benchmark cuts Chinese and Japanese with dictionaries (jieba, MeCab); two characters make a word here.
    """
    words: list[str] = []
    for part in line.split():
        pattern = next((one for one in WORD_LENGTHS if one.search(part)), None)
        if pattern is None:
            words.append(part)
            continue
        words += _LATIN.findall(part)
        own = pattern.findall(part)
        size = WORD_LENGTHS[pattern]
        words += ["".join(own[start : start + size]) for start in range(0, len(own), size)]
    return words


def english_words(line: str) -> list[str]:
    """Words of a line in small Latin letters without marks."""
    return [
        word for word in tokens(line) if len(word) >= LETTERS and word.isascii() and word.isalpha() and word.islower()
    ]


def dictionary(file: Path) -> frozenset[str]:
    """Read a list of English words, one a line; those in capitals and short ones are left out, as in the benchmark.

    Raises DataError for a file without words.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected English words, one a line, in UTF-8") from None
    words = frozenset(word for line in lines if (word := line.strip()).islower() and len(word) >= LETTERS)
    if not words:
        raise DataError(f"{file}: no word in small letters; expected English words, one a line")
    return words
