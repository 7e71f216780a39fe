"""Passages that texts have in common: runs of 13 words, and of 26 characters in scripts that put no space between words.

Words are compared whatever their case, width (NFKC) and punctuation. Scripts without spaces are Han, Kana, Thai, Lao, Myanmar and
Khmer; a text is compared by characters where more than half of it is written in them. Two characters stand for a word there,
about what Chinese has; a Thai word takes more, so that a run is shorter in words.

Source: 13 words as in Brown et al. 2020, arXiv 2005.14165, appendix C.
"""

from __future__ import annotations

import unicodedata

WORDS, CHARACTERS = 13, 26

_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip

MOST_BITS = 2**31
"""Of a sieve: 256 MiB."""


def canonical(text: str) -> str:
    """What texts that are equal but for case, width and white space have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def passages(text: str) -> set[int]:
    """The runs of a text, as numbers that hold within this process; none of a text that is shorter than one."""
    plain = canonical(text)
    if len(plain) < 2 * WORDS - 1:  # as many one-letter words, and the spaces between them
        return set()
    tokens = plain.translate(_TOKENS).split()
    unspaced = sum(len(token) == 1 and _is_unspaced(ord(token)) for token in tokens)
    width = CHARACTERS if 2 * unspaced > len(tokens) else WORDS
    return set(map(hash, zip(*(tokens[start:] for start in range(width)), strict=False)))


class Sieve:
    """A set of numbers in bounded memory that knows all that were added, and seldom takes another for one of them.

    About one in 100 others while as many are added as were expected. Source: Bloom 1970, two probes.
    """

    def __init__(self, expected: int) -> None:
        bits = 1 << min(MOST_BITS, max(2**16, 16 * expected)).bit_length() - 1
        self._bits = bytearray(bits // 8)
        self._mask = bits - 1

    def add(self, number: int) -> None:
        """Add a number of 64 bits."""
        for place in (number & self._mask, number >> 32 & self._mask):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, number: int) -> bool:
        one, other = number & self._mask, number >> 32 & self._mask
        return bool(self._bits[one >> 3] >> (one & 7) & 1 and self._bits[other >> 3] >> (other & 7) & 1)


def _is_unspaced(code: int) -> bool:
    return code >= _UNSPACED[0][0] and any(first <= code <= last for first, last in _UNSPACED)


class _Tokens(dict[int, str]):
    """For `str.translate`: punctuation becomes a space, and a character of an unspaced script a word."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        found = f" {character} " if _is_unspaced(code) else character
        if unicodedata.category(character)[0] in "PSZC":
            found = " "
        self[code] = found
        return found


_TOKENS = _Tokens()
