"""What the cells of a row of verdicts hold: models, preferences, counts, the prompt, and the style of both answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aya_core.api import UNKNOWN_LANGUAGE, DataError, Line, parse_json
from aya_recipe.numbers.winrates.style import Style, style_of, style_of_metadata

ITEM = "item"
"""The column of our own rows that names a question in all languages."""

IDS = ("question_id", "prompt_id", "uid", "id", "index")
LANGUAGES = ("language", "lang")
GAMES = ("count", "weight")

MOST_GAMES = 1e9
"""Games that a verdict may count for: beyond, the others vanish beside it."""

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
            f"{line.place}: '{column}' holds {shown(value)}; expected a preference from 1 (the baseline is better) to 2 (the model is), or "
            "nothing where there is none; leave out columns that are no models"
        )
    return number - 1


def model_name(line: Line, column: str) -> str:
    """The name of a model. Raises DataError for a cell that holds none."""
    name = line.row.get(column)
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{line.place}: '{column}' is {shown(name)}; expected the name of a model")
    return name


def finite(line: Line, column: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A number between two others. Raises DataError for anything else."""
    number = as_number(line.row.get(column))
    if number is None or not math.isfinite(number) or not low <= number <= high:
        between = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
        raise DataError(f"{line.place}: '{column}' holds {shown(line.row.get(column))}; expected a number{between}")
    return number


def shown(value: Any) -> str:
    """A cell in a message, its beginning."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # a whole number of thousands of digits, or lists in lists without end
        return f"a {type(value).__name__} that is too long to show"


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
    if games is None or not 0 < games <= MOST_GAMES:
        raise DataError(
            f"{line.place}: '{column}' holds {shown(line.row[column])}; expected how many games it counts for, a number above 0"
        )
    return games


def as_number(value: Any) -> float | None:
    """A number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def prompt_id(line: Line) -> str:
    """The id of what was asked; a row without one is a prompt of its own."""
    return _stated(line, IDS, "an id, a text or a number") or f"row {line.number}"


def text_of(line: Line, column: str) -> str | None:
    """The text or number of a column that may be empty."""
    return _stated(line, (column,), "a text or a number")


def item(line: Line) -> str | None:
    """By what a row names the question, whatever the language; None where it does not."""
    return _stated(line, (ITEM, *IDS), "an id, a text or a number")


def language(line: Line) -> str:
    """The language of a row."""
    return _stated(line, LANGUAGES, "the code of a language") or UNKNOWN_LANGUAGE


def _stated(line: Line, names: Sequence[str], expected: str) -> str | None:
    """What the first of these columns that is filled holds. Raises DataError for what is neither text nor number."""
    for name in names:
        value = line.row.get(name)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise DataError(f"{line.place}: '{name}' holds {shown(value)}; expected {expected}")
        try:
            return str(value)
        except ValueError:  # a whole number of thousands of digits
            raise DataError(f"{line.place}: '{name}' holds {shown(value)}; expected {expected}") from None
    return None


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
        return parse_json(text)
    except ValueError:
        return None
