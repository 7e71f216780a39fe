"""Simplified or traditional Chinese, by the characters that only one of the two has."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache


@cache
def one_sided() -> tuple[frozenset[str], frozenset[str]]:
    """Make the characters that are simplified only, and those that are traditional only.

    China's standard GB 2312 holds the simplified characters and Taiwan's Big5 the traditional ones; what is in one of
    them alone is on one side. Python has both tables.
    """
    characters = [chr(code) for code in range(0x4E00, 0xA000)]
    simplified, traditional = ({c for c in characters if _holds(codec, c)} for codec in ("gb2312", "big5"))
    return frozenset(simplified - traditional), frozenset(traditional - simplified)


def _holds(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def sides(text: Iterable[str]) -> tuple[int, int]:
    """Count the characters that are simplified only and those that are traditional only."""
    simplified, traditional = one_sided()
    found = list(text)
    return sum(c in simplified for c in found), sum(c in traditional for c in found)
