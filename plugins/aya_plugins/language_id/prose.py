"""What of an answer is in a human language: no code, no formulas, no addresses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

FENCES = (
    ("`", re.compile(r"(```+).*?(?:\1|\Z)|(`{1,2})[^`\n]+\2", re.DOTALL)),
    ("~~~", re.compile(r"~~~+.*?(?:~~~+|\Z)", re.DOTALL)),
)
"""Code that stands between marks, as in `SPANS`."""

FORMULA = re.compile(r"\\(?:\[|\(|begin\{(\w+\*?)\})")
"""What opens a formula of LaTeX."""

LONGEST_FORMULA = 2000
"""Characters between what opens a formula and what closes it."""

SPANS = (
    ("$$", re.compile(r"\$\$.*?\$\$", re.DOTALL)),
    # As in pandoc: no space inside the dollars and no digit after them, so that "$5 to $7" is no formula.
    ("$", re.compile(r"\$(?=\S)[^$\n]{1,300}?(?<=\S)\$(?!\d)")),
    ("\\", re.compile(r"\\[a-zA-Z]+")),
    ("<", re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>")),
    ("&", re.compile(r"&[a-zA-Z]{2,8};")),
    ("://", re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://\S+")),
    ("www.", re.compile(r"\bwww\.[^\s)\]]+")),
    ("@", re.compile(r"[\w.+-]{1,64}@[\w.-]+")),
)
"""What is dropped, each with a text that it must hold: a search for that costs a fiftieth of the pattern. The bounds keep the
time linear in answers that are caught in a loop."""

NAMES = re.compile(r"\b(?:[A-Z]\b|[a-zA-Z]+(?:[0-9_]|(?<=[a-z])[A-Z])\w*)")
"""Names in programs, formulas and music: words with a digit or an underscore inside, or with a capital (`camelCase`), and
single capitals."""

STATEMENT = re.compile(r"^.*[;{][ \t]*$", re.MULTILINE)
INSIDE = re.compile(r"\w\(|[={}]")
CODE = re.compile(
    r"^[ \t]*(?:[{}()\[\]]+[;,]?$|(?:import \w+|from [\w.]+ import |#include|def \w+\(|class \w+.*:$|return\b.*;$|//).*$)",
    re.MULTILINE,
)
"""Lines of code that stand in no fence: the ends of a STATEMENT with a call, an assignment or a brace INSIDE, and those of
CODE, by how they begin."""

CODE_SIGNS = (";", "{", "}", "import ", "def ", "class ", "#include", "//")
"""One of these is in every line of code that is found, but for a closing bracket alone."""


def prose(text: str) -> str:
    """Drop code, formulas, markup, addresses and names of variables; what is left is in Unicode's form NFC.

    A fence that is never closed runs to the end, as where an answer was cut off.
    """
    text = _without(FENCES, text)
    if "\\" in text:
        text = _without_formulas(text)
    text = _without(SPANS, text)
    if any(sign in text for sign in CODE_SIGNS):
        text = CODE.sub("", STATEMENT.sub(lambda line: "" if INSIDE.search(line[0]) else line[0], text))
    text = NAMES.sub(" ", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _without(spans: Sequence[tuple[str, re.Pattern[str]]], text: str) -> str:
    for sign, pattern in spans:
        if sign in text:
            text = pattern.sub(" ", text)
    return text


def _without_formulas(text: str) -> str:
    """Put a space for each formula. What closes it is searched for as a text: a pattern would take a hundred times as long where many
    are opened and none is closed."""
    parts, place, start = [], 0, 0
    while opening := FORMULA.search(text, start):
        name = opening[1]
        closing = f"\\end{{{name}}}" if name else {"[": r"\]", "(": r"\)"}[opening[0][1]]
        end = text.find(closing, opening.end(), opening.end() + LONGEST_FORMULA + len(closing))
        if end < 0:
            start = opening.start() + 1
            continue
        parts.append(text[place : opening.start()])
        place = start = end + len(closing)
    return " ".join([*parts, text[place:]])
