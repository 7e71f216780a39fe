"""JSON of anybody's, no deeper than anything needs to be."""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEEPEST = 100
"""Lists and objects inside one another. What is deeper ends recursive code, ours and that of libraries, with a RecursionError."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """Read JSON as `json.loads` does. Raises ValueError for what is none, and for what nests more than 100 deep."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if is_deep(text):
        raise ValueError(f"lists and objects inside one another, more than {DEEPEST} deep")
    try:
        return json.loads(text)
    except RecursionError as error:  # called from deep down
        raise ValueError(str(error)) from None


def is_number(value: Any) -> bool:
    """Whether a value of JSON or YAML is a finite number that a float can hold; true and false are none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number with more than 308 digits
        return False


def is_deep(text: str, start: int = 0, end: int | None = None) -> bool:
    """Whether the JSON in a part of a text nests more than 100 deep."""
    if text.count("[", start, end) + text.count("{", start, end) <= DEEPEST:  # nearly all
        return False
    depth = 0
    for mark in re.findall(r"[][{}]", _STRING.sub("", text[start:end])):
        depth += 1 if mark in "[{" else -1
        if depth > DEEPEST:
            return True
    return False
