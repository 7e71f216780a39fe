"""Files of verdicts and preferences, read as battles.

| columns | what it is |
|---|---|
| model_a, model_b, winner | a verdict, as of Chatbot Arena and Arena-Hard; `count` or `weight` games each |
| generator_1, generator_2, preference | a weighted preference, as AlpacaEval annotates: from 1 (the first is better) to 2 |
| prompt_id, language, metric, value | the scores of our evaluator `win-rate` |
| prompt_id, teacher, score, status | our arbiters' verdicts: every two teachers of a prompt meet, the higher score wins |
| none of these | a table of preferences: a column for each model, from 1 (the baseline is better) to 2 |
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from aya_core.artifacts import PAYLOAD
from aya_core.errors import DataError
from aya_core.lines import READERS, Line
from aya_core.records import UNKNOWN_LANGUAGE
from aya_core.winrates import own_rows
from aya_core.winrates.battles import Battle, Battles
from aya_core.winrates.style import Style, style_of, style_of_metadata

WINNERS: Mapping[str, float] = {
    "model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5, "both_bad": 0.5,
}  # fmt: skip
"""Points of the first model for each winner. A tie of two bad answers is a tie."""

BASELINE = "baseline"
"""The name of whom a table of preferences compares with, which it does not tell."""

IDS = ("question_id", "prompt_id", "id", "index")
LANGUAGES = ("language", "lang")
ABOUT_ROWS = frozenset(
    (
        "",
        *IDS,
        *LANGUAGES,
        "dataset",
        "instruction",
        "prompt",
        "cluster",
        "category",
        "source",
        "turn",
        "judge",
        "annotator",
    )
)
"""Columns of a table of preferences that are no models. One with text in every row is none either."""

TEXTS = (("answer_{}", "ab"), ("response_{}", "ab"), ("conversation_{}", "ab"), ("output_{}", "12"))
"""Where the answers of both sides are looked for."""


def read_battles(file: Path) -> Battles:
    """Read a file of verdicts or preferences. Raises DataError with file and line for a row that is none."""
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{file}: the table is empty; expected a header and at least one row")
    rows = chain([first], lines)
    columns = set(first.row)
    if {"model_a", "model_b", "winner"} <= columns:
        return _battles(file, rows, _verdict, are_verdicts=True)
    if {"generator_1", "generator_2", "preference"} <= columns:
        return _battles(file, rows, _annotation, are_verdicts=False)
    if columns >= own_rows.SCORES:
        return Battles(str(file), own_rows.of_scores(rows), own_rows.RIVAL)
    if columns >= own_rows.JUDGED:
        return Battles(str(file), own_rows.of_judged(rows))
    if columns & {"model_a", "model_b", "winner", "generator_1", "generator_2"}:
        raise DataError(
            f"{first.place}: the columns are {', '.join(first.row)}; expected model_a, model_b and winner, or generator_1, "
            "generator_2 and preference"
        )
    return _table(file, list(rows))


def _lines(file: Path) -> Iterator[Line]:
    """The rows of a file, or of the Parquet files in a folder, such as an artifact of a run."""
    if file.is_dir():
        folder = file / PAYLOAD if (file / PAYLOAD).is_dir() else file
        shards = sorted(folder.glob("*.parquet"))
        if not shards:
            raise DataError(f"{file}: no .parquet file in this folder; expected one file, or an artifact of a run")
        return chain.from_iterable(map(READERS[".parquet"], shards))
    if not file.exists():
        raise DataError(f"{file}: no such file; expected verdicts or preferences as {', '.join(READERS)}")
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: no {' or '.join(READERS)} file; expected one of these endings")
    return reader(file)


def _battles(
    file: Path, lines: Iterator[Line], read: Callable[[Line], Battle | None], *, are_verdicts: bool
) -> Battles:
    found: list[Battle] = []
    left_out: Counter[str] = Counter()
    times: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        battle = read(line)
        if battle is None:
            left_out[str(line.row["generator_2"])] += 1
            continue
        if not are_verdicts:  # AlpacaEval has instructions that come twice; each row of it counts by itself
            key = (battle.prompt, battle.one, battle.other)
            times[key] += 1
            battle = battle._replace(prompt=f"{battle.prompt}#{times[key]}")
        found.append(battle)
    return Battles(str(file), found, None, are_verdicts, dict(left_out))


def _verdict(line: Line) -> Battle:
    one, other = _model(line, "model_a"), _model(line, "model_b")
    _check_two(line, one, other)
    winner = line.row.get("winner")
    if not isinstance(winner, str) or winner.strip() not in WINNERS:
        raise DataError(f"{line.place}: the winner is {winner!r:.80}; expected one of {', '.join(WINNERS)}")
    counted = next((name for name in ("count", "weight") if line.row.get(name) is not None), None)
    weight = 1.0 if counted is None else _number(line, counted)
    if not 0 < weight < math.inf:
        raise DataError(f"{line.place}: the {counted} is {weight:g}; expected how many games it counts for, above 0")
    points = WINNERS[winner.strip()]
    return Battle(line.place, _prompt(line), _language(line), one, other, points, weight, _styles(line, "ab"))


def _annotation(line: Line) -> Battle | None:
    baseline, model = _model(line, "generator_1"), _model(line, "generator_2")
    _check_two(line, baseline, model)
    points = _preference(line, "preference")
    if points is None:
        return None
    asked = line.row.get("instruction")
    prompt = asked if isinstance(asked, str) else _prompt(line)
    return Battle(line.place, prompt, _language(line), baseline, model, 1 - points, 1.0, _styles(line, "12"))


def _table(file: Path, lines: Sequence[Line]) -> Battles:
    """Read a column for each model; a row is a prompt."""
    models = [name for name in lines[0].row if name.lower() not in ABOUT_ROWS and not _is_text(lines, name)]
    if not models:
        raise DataError(
            f"{lines[0].place}: the columns are {', '.join(lines[0].row)}; expected model_a, model_b and winner; generator_1, "
            "generator_2 and preference; or a column for each model with preferences from 1 to 2"
        )
    found: list[Battle] = []
    left_out: Counter[str] = Counter()
    for line in lines:
        for model in models:
            points = _preference(line, model)
            if points is None:
                left_out[model] += 1
            else:
                found.append(Battle(line.place, str(line.number), _language(line), model, BASELINE, points))
    return Battles(str(file), found, BASELINE, False, dict(left_out))


def _is_text(lines: Sequence[Line], name: str) -> bool:
    """Whether no row of a column holds a number."""
    return all(_as_number(line.row.get(name)) is None for line in lines)


def _preference(line: Line, column: str) -> float | None:
    """The share of the win that the second answer gets; None for a row without a verdict. 0 was once written for a draw."""
    value = line.row.get(column)
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "none", "null")):
        return None
    number = _as_number(value)
    if number is not None and math.isnan(number):
        return None
    if number == 0:
        return 0.5
    if number is None or not 1 <= number <= 2:
        raise DataError(
            f"{line.place}: '{column}' holds {value!r:.80}; expected a preference from 1 (the baseline is better) to 2 (the model is), or "
            "nothing where there is none"
        )
    return number - 1


def _model(line: Line, column: str) -> str:
    name = line.row.get(column)
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{line.place}: '{column}' is {name!r:.80}; expected the name of a model")
    return name


def _check_two(line: Line, one: str, other: str) -> None:
    if one == other:
        raise DataError(f"{line.place}: '{one}' meets itself; expected two different models")


def _number(line: Line, column: str) -> float:
    number = _as_number(line.row[column])
    if number is None:
        raise DataError(f"{line.place}: '{column}' holds {line.row[column]!r:.80}; expected a number")
    return number


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _prompt(line: Line) -> str:
    """The id of what was asked; a row without one is a prompt of its own."""
    return next((str(line.row[name]) for name in IDS if line.row.get(name) not in (None, "")), f"row {line.number}")


def _language(line: Line) -> str:
    return next((str(line.row[name]) for name in LANGUAGES if line.row.get(name) not in (None, "")), UNKNOWN_LANGUAGE)


def _styles(line: Line, sides: str) -> tuple[Style, Style] | None:
    """The styles of both answers, as counted by the file or from the texts."""
    told = line.row.get("conv_metadata", line.row)
    if isinstance(told, str):
        told = _json(told)
    if isinstance(told, Mapping):
        one, other = (style_of_metadata({name: _unfolded(told[name]) for name in told}, side) for side in "ab")
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
    said = [turn.get("content") for turn in value if turn.get("role") == "assistant"]
    return "\n".join(_text(part) for part in said) if said else None


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
