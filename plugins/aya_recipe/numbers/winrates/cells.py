"""What the cells of a row of verdicts hold: models, preferences, counts, the prompt, and the style of both answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aya_core.api import UNKNOWN_LANGUAGE, DataError, Line
from aya_recipe.numbers.winrates.style import Style, style_of, style_of_metadata

IDS = ("question_id", "prompt_id", "uid", "id", "index")
LANGUAGES = ("language", "lang")
GAMES = ("count", "weight")

TEXTS = (("answer_{}", "ab"), ("response_{}", "ab"), ("conversation_{}", "ab"), ("output_{}", "12"))
"""Where the answers of both sides are looked for."""


def preference(line: Line, column: str) -> float | None:
    """The share of the win that the second answer gets; None for a row without a verdict. 0 was once written for a draw."""
    value = line.row.get(column)
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "none", "null")):
        return None
    number = as_number(value)
    if number is not None and math.isnan(number):
        return None
    if number == 0:
        return 0.5
    if number is None or not 1 <= number <= 2:
        raise DataError(
            f"{line.place}: '{column}' holds {value!r:.80}; expected a preference from 1 (the baseline is better) to 2 (the model is), or "
            "nothing where there is none; leave out columns that are no models"
        )
    return number - 1


def model_name(line: Line, column: str) -> str:
    """The name of a model. Raises DataError for a cell that holds none."""
    name = line.row.get(column)
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{line.place}: '{column}' is {name!r:.80}; expected the name of a model")
    return name


def check_two(line: Line, one: str, other: str) -> None:
    """Raise DataError for a model that meets itself."""
    if one == other:
        raise DataError(f"{line.place}: '{one}' meets itself; expected two different models")


def games_of(line: Line) -> float:
    """How many games a verdict counts for; one where the row does not say."""
    column = next((name for name in GAMES if line.row.get(name) not in (None, "")), None)
    if column is None:
        return 1.0
    games = as_number(line.row[column])
    if games is None or not 0 < games < math.inf:
        raise DataError(
            f"{line.place}: '{column}' holds {line.row[column]!r:.80}; expected how many games it counts for, a number above 0"
        )
    return games


def as_number(value: Any) -> float | None:
    """A number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def prompt_id(line: Line) -> str:
    """The id of what was asked; a row without one is a prompt of its own."""
    return next((str(line.row[name]) for name in IDS if line.row.get(name) not in (None, "")), f"row {line.number}")


def language(line: Line) -> str:
    """The language of a row."""
    return next((str(line.row[name]) for name in LANGUAGES if line.row.get(name) not in (None, "")), UNKNOWN_LANGUAGE)


def styles(line: Line, sides: str) -> tuple[Style, Style] | None:
    """The styles of both answers, as counted by the file or from the texts."""
    metadata = line.row.get("conv_metadata", line.row)
    if isinstance(metadata, str):
        metadata = _json(metadata)
    if isinstance(metadata, Mapping):
        one, other = (style_of_metadata({name: _unfolded(metadata[name]) for name in metadata}, side) for side in "ab")
        if one is not None and other is not None:
            return one, other
    for name, letters in TEXTS:
        texts = [_answer(line.row.get(name.format(letter))) for letter in letters]
        if letters == sides and texts[0] is not None and texts[1] is not None:
            return style_of(texts[0]), style_of(texts[1])
    return None


def _answer(value: Any) -> str | None:
    """An answer: a text, or what the assistant says in a conversation."""
    if isinstance(value, str):
        turns = _json(value) if value.lstrip().startswith("[{") else None
        return value if turns is None else _answer(turns) or value
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) for turn in value):
        return None
    replies = [turn.get("content") for turn in value if turn.get("role") == "assistant"]
    return "\n".join(_text(part) for part in replies) if replies else None


def _text(content: Any) -> str:
    """A message: a text, or parts some of which are texts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def _unfolded(value: Any) -> Any:
    """What a cell of delimited text holds, where it is JSON."""
    return _json(value) if isinstance(value, str) and value.lstrip().startswith("{") else value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
