"""Text that others wrote, as a terminal, a log or a report may hold it: nothing in it is acted upon, and all of it can be seen."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
"""What terminals take for commands: colors, links, titles, moves of the cursor, and bells. A tab and the end of a line are none."""

_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
"""What turns the direction of what follows, so that text reads as something else. Right-to-left scripts need none of them here."""

_OTHERS = "\u2028\u2029\ud800-\udfff\U000e0000-\U000e007f"
"""Ends of lines that only some see, halves of characters, and letters that nobody sees."""

_HIDDEN_IN_LOGS = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_OTHERS}]")

_HIDDEN = re.compile(f"[\r{_CONTROLS}{_DIRECTIONS}{_OTHERS}]")
"""In logs, a carriage return may stand: libraries draw their progress with it."""


def visible(text: str) -> str:
    """Write what a terminal would act upon, or hide, as JSON writes it: a red "no" is `\\u001b[31mno`. JSON stays the same JSON."""
    if text.isascii() and text.isprintable():  # nearly all
        return text
    return _HIDDEN.sub(_escaped, text)


LONGEST_WORD, LONGEST_LINE = 1000, 4000
"""Characters of a message that anybody reads."""

_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def brief(message: str) -> str:
    """A message that may quote what others wrote, without most of a word or a line that has no end."""
    lines = _LONG_WORD.sub(lambda word: f"{word[0][:200]}... ({len(word[0]):,} characters)", message).split("\n")
    return "\n".join(
        line if len(line) <= LONGEST_LINE else f"{line[:2000]} ... ({len(line):,} characters) ... {line[-500:]}"
        for line in lines
    )


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


class VisibleStream:
    """A stream of text that writes nothing which a terminal would act upon. All else is that of the stream behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, all of it to be seen."""
        self._stream.write(_HIDDEN_IN_LOGS.sub(_escaped, text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def write_visibly() -> None:
    """Have what this process prints from now on be seen and not acted upon, as its log may be shown on a terminal."""
    sys.stdout, sys.stderr = VisibleStream(sys.stdout), VisibleStream(sys.stderr)
