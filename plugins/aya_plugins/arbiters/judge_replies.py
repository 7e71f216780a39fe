"""Verdicts read from what a judge wrote: exactly, or not at all.

The last line that begins with the label counts, for a judge may name other verdicts while it thinks. That line must
hold one verdict and nothing else; bold type, quotes and full stops are no part of it. Nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

Place: TypeAlias = Literal["first", "second", "tie"]

_DECORATION = r"\t *_#>`\"'“”«»\r"
_PLACES: dict[str, Place] = {"a": "first", "b": "second", "tie": "tie"}


class UnreadableError(ValueError):
    """A reply holds no verdict, or one that is none of those asked for."""


def read_preference(reply: str) -> Place:
    """Read which answer a judge prefers. Raises UnreadableError."""
    answer = _last(reply, "preferred")
    found = re.fullmatch(r"(?:answer\s*)?(\()?(a|b)(?(1)\))|\(?(tie)\)?", answer)
    if found is None:
        raise UnreadableError(f"the judge prefers '{answer:.60}'; expected Answer (A), Answer (B) or TIE")
    return _PLACES[found[2] or found[3]]


def read_score(reply: str, lowest: int, highest: int) -> int:
    """Read a whole number from a scale, alone or as a share of its best (7/10). Raises UnreadableError."""
    answer = _last(reply, "score")
    found = re.fullmatch(r"([-−+]?\d{1,9})(?:\s*(?:/|out of)\s*(\d{1,9}))?", answer)
    if found is None or (found[2] is not None and int(found[2]) != highest):
        raise UnreadableError(
            f"the judge's score is '{answer:.60}'; expected a whole number from {lowest} to {highest}"
        )
    score = int(found[1].replace("−", "-"))
    if not lowest <= score <= highest:
        raise UnreadableError(f"the judge's score is {score}; expected {lowest} to {highest}")
    return score


def _last(reply: str, label: str) -> str:
    """What the last line with this label says, in lower case and bare of decoration."""
    plain = unicodedata.normalize("NFKC", reply).casefold()  # full-width letters, brackets and colons too
    lines = re.findall(rf"^[{_DECORATION}-]*{label}[{_DECORATION}]*:(.*)$", plain, re.MULTILINE)
    if not lines:
        raise UnreadableError(
            f"no line '{label.capitalize()}: ...' in the judge's reply '{' '.join(reply.split())[-60:]}'"
        )
    return re.sub(rf"^[{_DECORATION}]+|[{_DECORATION}.。!]+$", "", lines[-1])
