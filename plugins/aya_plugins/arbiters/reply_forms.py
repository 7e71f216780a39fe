"""Where a verdict may stand in what a judge wrote: on a labelled line, in brackets, in a box, in JSON, in tags, or alone on a line.

Reasoning goes first: what stands between the marks of a thinking model is no part of its reply. All of this is linear in the length of a
reply, whatever it holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aya_core.api import parse_json

DECORATION = " \t\r*_#>`\"'“”«»‘’「」『』|"
"""What may stand around a label or a verdict."""

BULLETS = DECORATION + "-–—•"
"""What may stand before a label: before a number, a dash is a sign."""

ENDS = DECORATION + ".。!！"
"""What may stand around a verdict, full stops included."""

LONGEST = 200
"""Characters of a line that may be a verdict by itself."""

_REASONING = ("think", "thinking", "thought", "reasoning", "reflection", "analysis", "scratchpad")
_CLOSED = re.compile(rf"</(?:{'|'.join(_REASONING)})>|\[/think\]|<\|channel\|>final<\|message\|>|◁/think▷")
_OPENED = re.compile(rf"<(?:{'|'.join(_REASONING)})>|\[think\]|<\|channel\|>analysis<\|message\|>|◁think▷")

_BRACKETS = re.compile(r"\[\[([^\[\]\n]{1,60})\]\]")
_BOX = re.compile(
    r"\\boxed\s{0,9}\{(?:\s{0,9}\\(?:text|textbf|mathrm|mathbf|mbox)\s{0,9}\{([^{}\n]{0,60})\}\s{0,9}|([^{}\n]{0,60}))\}"
)
_FLAT_OBJECT = re.compile(r"\{[^{}]*\}")
_TAGS = re.compile(r"<([a-z_]{1,20})>\s{0,20}([^<>\n]{1,60}?)\s{0,20}</([a-z_]{1,20})>")


class UnreadableError(ValueError):
    """A reply holds no verdict, more than one, or one that is none of those asked for."""


class Form(NamedTuple):
    """A place where a verdict stands. end: of it in the text. value: what it says. key: the label, tag or key before it, if any."""

    end: int
    value: Any
    key: str = ""


def plain(reply: str) -> str:
    """Drop reasoning; full-width letters, digits and brackets become plain ones, and all letters small.

    Raises UnreadableError for a reply that ends inside of its reasoning.
    """
    text = unicodedata.normalize("NFKC", reply).casefold()
    ends = [found.end() for found in _CLOSED.finditer(text)]
    if ends:
        return text[ends[-1] :]
    if (opened := _OPENED.match(text.lstrip())) is not None:
        raise UnreadableError(f"the judge's reply ends inside of its reasoning ('{opened[0]}' is never closed)")
    return text


def labelled(text: str, labels: Sequence[str]) -> list[Form]:
    """The lines that begin with one of the labels and a colon. A value may stand on the next line that holds something."""
    found: list[Form] = []
    end = 0
    waiting = ""
    for line in text.split("\n"):
        end += len(line) + 1
        head, colon, value = line.partition(":")
        label = _key(head.strip(BULLETS)) if colon and len(head) <= LONGEST else ""
        if label in labels:
            waiting = label
        else:
            value = line
        if waiting and (value := value.strip(ENDS)):
            found.append(Form(end, value, waiting))
            waiting = ""
    return [*found, Form(end, "", waiting)] if waiting else found


def marked(text: str, keys: Sequence[str]) -> Iterator[Form]:
    """Yield what stands in [[brackets]] (with these), in \\boxed{}, in tags, and in JSON under one of the keys."""
    for found in _BRACKETS.finditer(text):
        yield Form(found.end(), f"[[{found[1].strip(ENDS)}]]")
    for found in _BOX.finditer(text):
        yield Form(found.end(), (found[1] or found[2] or "").strip(ENDS))
    for found in _TAGS.finditer(text):
        if found[1] == found[3] and _key(found[1]) in keys:
            yield Form(found.end(), found[2].strip(ENDS), _key(found[1]))
    for end, fields in _objects(text):
        for key, value in fields.items():
            if _key(key) in keys:
                yield Form(end, value.strip(ENDS) if isinstance(value, str) else value, _key(key))


def short_lines(text: str) -> list[str]:
    """The lines that may be a verdict by themselves, without decoration."""
    return [bare for line in text.split("\n") if len(line) <= LONGEST and (bare := line.strip(ENDS))]


def ends(text: str) -> list[str]:
    """The last line, and the first where it is a paragraph, without decoration."""
    lines = text.strip().split("\n")
    is_paragraph = len(lines) > 1 and not lines[1].strip(ENDS)
    return [line.strip(ENDS) for line in (lines[-1], *lines[: int(is_paragraph)])]


def _key(key: str) -> str:
    return " ".join(key.replace("_", " ").replace("-", " ").split())


def _objects(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every JSON object: the text as a whole, where it is one, or those that hold no other."""
    start, end = text.find("{"), text.rfind("}") + 1
    whole = _read(text[start:end]) if 0 <= start < end else None
    if whole is not None:
        yield end, whole
        return
    for found in _FLAT_OBJECT.finditer(text):
        if (fields := _read(found[0])) is not None:
            yield found.end(), fields


def _read(text: str) -> Mapping[str, Any] | None:
    try:
        fields = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def cut(text: str) -> str:
    """The end of a reply on one line, for messages."""
    return " ".join(text[-400:].split())[-60:]
