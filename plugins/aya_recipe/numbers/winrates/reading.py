"""Files of verdicts and preferences, read as battles.

| columns | what it is |
|---|---|
| model_a, model_b, winner | a verdict, as of Chatbot Arena and Arena-Hard; `count` or `weight` games each |
| generator_1, generator_2, preference | a weighted preference, as AlpacaEval annotates: from 1 (the first is better) to 2 |
| question_id or uid, model, games | Arena-Hard's judgments: a score such as A>>B for each order |
| prompt_id, language, metric, value | the scores of our evaluator `win-rate` |
| prompt_id, teacher, score, status | our arbiters' verdicts: every two teachers of a prompt meet, the higher score wins |
| none of these | a table of preferences: a column for each model, from 1 (the baseline is better) to 2 |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from aya_core.api import PAYLOAD, READERS, UNKNOWN_LANGUAGE, DataError, Line, ending_of, is_saved, saved_lines
from aya_recipe.numbers.winrates.battles import Battle, Battles
from aya_recipe.numbers.winrates.cells import (
    IDS,
    ITEM,
    LANGUAGES,
    as_number,
    check_two,
    finite,
    games_of,
    item,
    language,
    model_name,
    preference,
    prompt_id,
    shown,
    styles,
    text_of,
)

WINNERS: Mapping[str, float] = {
    "model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5, "both_bad": 0.5,
}  # fmt: skip
"""Points of the first model for each winner. A tie of two bad answers is a tie."""

SCORES: Mapping[str, tuple[float, float]] = {
    "A>>B": (1.0, 3.0), "A>B": (1.0, 1.0), "A=B": (0.5, 1.0), "B>A": (0.0, 1.0), "B>>A": (0.0, 3.0),
}  # fmt: skip
"""Points of the answer shown first, and games, as Arena-Hard counts them: a much better answer wins three."""

SCORE_COLUMNS = frozenset(("prompt_id", "language", "metric", "value"))
JUDGED_COLUMNS = frozenset(("prompt_id", "teacher", "score", "status"))
"""The columns by which rows that runs of ours leave are known: the scores of `win-rate`, and an arbiter's verdicts."""

MODEL, RIVAL = "model", "rival"
"""The sides of an evaluation, whose rows do not name them."""

BASELINE = "baseline"
"""The name of whom a file compares with that does not tell."""

_NO_MODELS = "dataset instruction prompt cluster category source turn judge annotator __index_level_0__"
ABOUT_ROWS = frozenset(("", "unnamed: 0", ITEM, *IDS, *LANGUAGES, *_NO_MODELS.split()))
"""Columns of a table of preferences that are no models. One with text in every row is none either."""


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
    if {"model", "games"} <= columns:
        return _battles(file, rows, _judgment, are_verdicts=True)
    if columns >= SCORE_COLUMNS:
        return Battles(str(file), _of_scores(rows), RIVAL)
    if columns >= JUDGED_COLUMNS:
        return Battles(str(file), _of_judged(rows))
    if columns & {"model_a", "model_b", "winner", "generator_1", "generator_2"}:
        raise DataError(
            f"{first.place}: the columns are {', '.join(first.row)}; expected model_a, model_b and winner, or generator_1, "
            "generator_2 and preference, or model and games"
        )
    return _table(file, list(rows))


def _lines(file: Path) -> Iterator[Line]:
    """The rows of a file, or of the Parquet files in a folder, such as an artifact of a run."""
    if is_saved(file):
        return saved_lines(file)
    if file.is_dir():
        folder = file / PAYLOAD if (file / PAYLOAD).is_dir() else file
        shards = sorted(folder.glob("*.parquet"))
        if not shards:
            raise DataError(f"{file}: no .parquet file in this folder; expected one file, or an artifact of a run")
        return chain.from_iterable(map(READERS[".parquet"], shards))
    if not file.exists():
        raise DataError(f"{file}: no such file; expected verdicts or preferences as {', '.join(READERS)}")
    reader = READERS.get(ending_of(file))
    if reader is None:
        raise DataError(f"{file}: no {' or '.join(READERS)} file; expected one of these endings")
    return reader(file)


def _battles(
    file: Path, lines: Iterator[Line], read: Callable[[Line], Sequence[Battle]], *, are_verdicts: bool
) -> Battles:
    found: list[Battle] = []
    left_out: Counter[str] = Counter()
    times: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        battles = read(line)
        if not battles:
            left_out[str(line.row.get("generator_2", line.row.get("model")))] += 1
        for battle in battles:
            if not are_verdicts:  # AlpacaEval has instructions that come twice; each row of it counts by itself
                key = (battle.prompt, battle.one, battle.other)
                times[key] += 1
                battle = battle._replace(prompt=f"{battle.prompt}#{times[key]}")
            found.append(battle)
    return Battles(str(file), found, None, are_verdicts, dict(left_out))


def _verdict(line: Line) -> Sequence[Battle]:
    one, other = model_name(line, "model_a"), model_name(line, "model_b")
    check_two(line, one, other)
    winner = line.row.get("winner")
    if not isinstance(winner, str) or winner.strip() not in WINNERS:
        raise DataError(f"{line.place}: the winner is {shown(winner)}; expected one of {', '.join(WINNERS)}")
    points, games, both = WINNERS[winner.strip()], games_of(line), styles(line, "ab")
    return [Battle(line.place, prompt_id(line), language(line), one, other, points, games, both, item(line))]


def _judgment(line: Line) -> Sequence[Battle]:
    """The baseline's answer is A in the first game and B in the second; a game without a score holds no verdict."""
    baseline = model_name(line, "baseline") if line.row.get("baseline") not in (None, "") else BASELINE
    model = model_name(line, "model")
    check_two(line, baseline, model)
    games = line.row.get("games")
    if games is not None and not isinstance(games, (list, tuple)):
        raise DataError(f"{line.place}: 'games' holds {shown(games)}; expected a list of games, each with a score")
    found = []
    for order, game in enumerate(games or ()):
        score = game.get("score") if isinstance(game, Mapping) else game
        if score is None or score == "":
            continue
        if not isinstance(score, str) or score not in SCORES:
            raise DataError(
                f"{line.place}: the score of a game is {shown(score)}; expected one of {', '.join(SCORES)}, or null"
            )
        points, weight = SCORES[score]
        points = points if order % 2 == 0 else 1 - points
        asked = (prompt_id(line), language(line))
        found.append(Battle(line.place, *asked, baseline, model, points, weight, item=item(line)))
    return found


def _annotation(line: Line) -> Sequence[Battle]:
    baseline, model = model_name(line, "generator_1"), model_name(line, "generator_2")
    check_two(line, baseline, model)
    points = preference(line, "preference")
    if points is None:
        return []
    asked = line.row.get("instruction")
    prompt = asked if isinstance(asked, str) else prompt_id(line)
    both = styles(line, "12")
    return [Battle(line.place, prompt, language(line), baseline, model, 1 - points, 1.0, both, item(line))]


def _table(file: Path, lines: Sequence[Line]) -> Battles:
    """Read a column for each model; a row is a prompt."""
    models = [name for name in lines[0].row if name.lower() not in ABOUT_ROWS and not _is_text(lines, name)]
    if not models:
        raise DataError(
            f"{lines[0].place}: the columns are {', '.join(lines[0].row)}; expected model_a, model_b and winner; generator_1, "
            "generator_2 and preference; model and games; or a column for each model with preferences from 1 to 2"
        )
    found: list[Battle] = []
    left_out: Counter[str] = Counter()
    for line in lines:
        for model in models:
            points = preference(line, model)
            if points is None:
                left_out[model] += 1
            else:
                asked = (str(line.number), language(line))
                found.append(Battle(line.place, *asked, model, BASELINE, points, item=item(line)))
    return Battles(str(file), found, BASELINE, False, dict(left_out))


def _is_text(lines: Sequence[Line], name: str) -> bool:
    """Whether no row of a column holds a number."""
    return all(as_number(line.row.get(name)) is None for line in lines)


def _of_scores(lines: Iterable[Line]) -> list[Battle]:
    """Read the battles of one evaluated model. The rows of a metric stand in the order of the samples."""
    points: dict[tuple[str, str, str | None], dict[str, list[float]]] = defaultdict(lambda: {"win": [], "tie": []})
    place = ""
    for line in lines:
        place, metric = line.place, line.row.get("metric")
        if isinstance(metric, str) and metric in ("win", "tie"):
            key = (language(line), prompt_id(line), text_of(line, ITEM))
            points[key][metric].append(finite(line, "value", 0, 1))
    if not points:
        raise DataError(f"{place}: no metric is named win; expected the scores of the evaluator win-rate")
    for (_, prompt, _), counts in points.items():
        if len(counts["win"]) != len(counts["tie"]):
            raise DataError(
                f"{place}: the prompt '{prompt}' has {len(counts['win'])} rows of win and {len(counts['tie'])} of tie; expected as many of "
                "each, as the evaluator win-rate writes them"
            )
    return [
        Battle(place, prompt, code, MODEL, RIVAL, win + tie / 2, item=named)
        for (code, prompt, named), counts in points.items()
        for win, tie in zip(counts["win"], counts["tie"], strict=True)
    ]


def _of_judged(lines: Iterable[Line]) -> list[Battle]:
    """Let every two teachers meet that an arbiter scored on the same prompt, sample by sample: the higher score wins."""
    scores: dict[tuple[str, float], dict[str, tuple[str, float]]] = defaultdict(dict)
    for line in lines:
        if line.row.get("status") == "scored":
            sample = (prompt_id(line), 0.0 if line.row.get("index") is None else finite(line, "index"))
            scores[sample][model_name(line, "teacher")] = (line.place, finite(line, "score"))
    return [battle for (prompt, _), found in scores.items() for battle in _meetings(prompt, found)]


def _meetings(prompt: str, found: dict[str, Any]) -> Iterator[Battle]:
    for one, other in combinations(sorted(found), 2):
        place, ours = found[one]
        theirs = found[other][1]
        points = 0.5 if ours == theirs else float(ours > theirs)
        yield Battle(place, prompt, UNKNOWN_LANGUAGE, one, other, points)
