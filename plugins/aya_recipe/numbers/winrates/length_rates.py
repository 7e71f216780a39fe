"""Length-controlled win rates of the models of a file, as AlpacaEval 2 has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.api import READERS, DataError, Line, ending_of
from aya_recipe.numbers import bootstrap
from aya_recipe.numbers.winrates.battles import Arrays, Battle, Battles
from aya_recipe.numbers.winrates.cells import as_number
from aya_recipe.numbers.winrates.length_control import Fit, Gamed, fit, need_sklearn
from aya_recipe.numbers.winrates.rates import Counted, Rate, Rates, all_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIFFICULTY = "instruction_difficulty"


def length_controlled(
    battles: Battles,
    *,
    difficulty: Path | None = None,
    gamed: Path | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Rates:
    """Rate every model against the baseline, with both answers taken as equally long. See `length_control`.

    difficulty: file of how hard each prompt is, AlpacaEval's `instruction_difficulty.csv`: a column `instruction_difficulty`, and
    `instruction` or the places of the prompts in `index`. gamed: AlpacaEval's `df_gamed.csv`. Standard errors and intervals are the
    bootstrap's over prompts. Raises DataError where lengths, a baseline or the difficulty of a prompt are missing.
    """
    need_sklearn()
    if battles.baseline is None:
        raise DataError(
            f"{battles.source}: no baseline; length control compares with one, so name it by --baseline, "
            f"one of {', '.join(battles.models[:5])}"
        )
    arrays = Arrays(battles)
    drawn = list(all_counts(arrays, resamples, seed))
    known = None if difficulty is None else _difficulties(difficulty)
    guards = None if gamed is None else _gamed(gamed)
    found = []
    coefficients: dict[str, dict[str, float]] = {}
    for model in battles.models:
        if model == battles.baseline:
            continue
        places = [place for place, row in enumerate(battles.rows) if {row.one, row.other} == {model, battles.baseline}]
        rows = [battles.rows[place] for place in places]
        if not rows:
            raise DataError(f"{battles.source}: '{model}' meets the baseline '{battles.baseline}' in no battle")
        fitted = _fit(rows, model, known, guards, [counts[arrays.prompt[places]] for counts in drawn], battles)
        coefficients[model] = fitted.coefficients
        found.append(_rate(battles, model, fitted))
    found.sort(key=lambda one: (-one.win_rate, one.model))
    return Rates(found, battles.baseline, "length-controlled", {}, bool(battles.pool), coefficients)


def _rate(battles: Battles, model: str, fitted: Fit) -> Rate:
    counted = Counted(battles, model)
    spread = 100 * fitted.drawn
    low, high = bootstrap.interval(spread) if counted.prompts > 1 else (math.nan, math.nan)
    error = float(spread.std(ddof=1)) if counted.prompts > 1 else math.nan
    value = 100 * float(fitted.preferences.mean())
    counts = (counted.prompts, counted.wins, counted.losses, counted.ties)
    return Rate(model, value, error, low, high, *counts, drawn=fitted.drawn)


def _fit(
    rows: Sequence[Battle],
    model: str,
    known: Mapping[str | int, float] | None,
    gamed: Gamed | None,
    counts: Sequence[NDArray[Any]],
    battles: Battles,
) -> Fit:
    import numpy as np

    points, shorter, hard = [], [], []
    for place, row in enumerate(rows):
        if row.styles is None:
            raise DataError(
                f"{row.place}: no length of the answers; expected their texts, such as output_1 and output_2 of AlpacaEval's annotations"
            )
        ours, theirs = row.styles if row.one == model else row.styles[::-1]
        points.append(row.points if row.one == model else 1 - row.points)
        shorter.append(theirs.length - ours.length)
        if known is not None:
            hard.append(_difficulty(row, place, known, battles))
    return fit(np.array(points), np.array(shorter), np.array(hard) if known is not None else None, gamed, counts)


def _difficulty(row: Battle, place: int, known: Mapping[str | int, float], battles: Battles) -> float:
    """By the prompt, or by its place among the model's where the file of difficulties numbers them."""
    is_numbered = isinstance(next(iter(known)), int)
    if is_numbered and battles.left_out:
        raise DataError(
            f"{battles.source}: some rows hold no preference, so that the others cannot be counted off against the difficulties; "
            "give these a column `instruction`, or leave --difficulty out"
        )
    found = known.get(place if is_numbered else row.prompt.rsplit("#", 1)[0])
    if found is None:
        raise DataError(
            f"{row.place}: no difficulty is known of this prompt ({len(known):,} are); expected one for each, or leave --difficulty out"
        )
    return found


def _difficulties(file: Path) -> Mapping[str | int, float]:
    found: dict[str | int, float] = {}
    for line in _lines(file):
        asked = line.row.get("instruction")
        place = as_number(line.row.get("index", line.row.get("", line.number - 1)))
        if asked is None and (place is None or place != int(place)):
            raise DataError(f"{line.place}: no prompt; expected a column `instruction`, or whole numbers in `index`")
        found.setdefault(str(asked) if asked is not None else int(place or 0), _number(line, DIFFICULTY))
    if len({type(key) for key in found}) != 1:
        raise DataError(f"{file}: expected rows, each with `instruction` or each with `index`, and `{DIFFICULTY}`")
    return found


def _gamed(file: Path) -> Gamed:
    import numpy as np

    names = ("std_delta_len", DIFFICULTY, "preference")
    rows = [[_number(line, name) for name in names] for line in _lines(file)]
    if not rows:
        raise DataError(f"{file}: no row; expected AlpacaEval's df_gamed.csv")
    return Gamed(*np.array(rows).T)


def _lines(file: Path) -> Sequence[Line]:
    if not file.is_file():
        raise DataError(f"{file}: no such file; expected one of the data set tatsu-lab/alpaca_eval")
    reader = READERS.get(ending_of(file))
    if reader is None:
        raise DataError(f"{file}: no {' or '.join(READERS)} file; expected one of these endings")
    return list(reader(file))


def _number(line: Line, name: str) -> float:
    value = as_number(line.row.get(name))
    if value is None or not math.isfinite(value):
        raise DataError(f"{line.place}: '{name}' holds {line.row.get(name)!r:.80}; expected a number")
    return value
