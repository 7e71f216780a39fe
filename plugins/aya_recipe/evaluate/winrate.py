"""`aya winrate`: win rates from a file of verdicts or preferences."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aya_core.api import Table, TextConsole, say
from aya_recipe.numbers.bootstrap import RESAMPLES
from aya_recipe.numbers.winrates.battles import Battles
from aya_recipe.numbers.winrates.length_rates import length_controlled as length_rates
from aya_recipe.numbers.winrates.rates import Rate, Rates, mean_of, rates
from aya_recipe.numbers.winrates.reading import read_battles
from aya_recipe.options.words import read_languages
from aya_recipe.report import terminal


@click.command(name="winrate")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--baseline", metavar="MODEL", help="Whom to compare with; by default the model that is in every battle.")
@click.option("--style", is_flag=True, help="Control for style: length, headers, lists and bold type.")
@click.option("--length-controlled", is_flag=True, help="At equal length of both answers, as AlpacaEval 2.")
@click.option(
    "--difficulty",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --length-controlled, how hard each prompt is: AlpacaEval's instruction_difficulty.csv.",
)
@click.option(
    "--gamed",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --length-controlled, preferences between lengths of one model: AlpacaEval's df_gamed.csv.",
)
@click.option("--by-language", is_flag=True, help="Each language by itself, too, and their mean.")
@click.option(
    "--languages",
    metavar="MAP",
    help="Languages by how FILE writes them, where that is no code and no English name: '{Farsi-IR: fa}'.",
)
@click.option("--resamples", type=click.IntRange(2), default=RESAMPLES, show_default=True, help="Of the bootstrap.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: Path,
    baseline: str | None,
    style: bool,
    length_controlled: bool,
    difficulty: Path | None,
    gamed: Path | None,
    by_language: bool,
    languages: str | None,
    resamples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Show the win rate of every model in FILE, with its standard error and 95% interval.

    FILE (JSONL, JSON, CSV, TSV or Parquet) holds verdicts (model_a, model_b, winner, and perhaps count), AlpacaEval's annotations
    (generator_1, generator_2, preference), or a table of preferences with a column for each model. See docs/win-rates.md.
    """
    if style and length_controlled:
        raise click.UsageError("--style and --length-controlled are two models of the same verdicts; give one")
    if (difficulty or gamed) and not length_controlled:
        raise click.UsageError("--difficulty and --gamed belong to --length-controlled; give that, too")
    battles = read_battles(file).against(baseline)
    if by_language or languages:
        battles = battles.in_codes(read_languages(languages, "--languages"))

    def rated(battles: Battles) -> Rates:
        if length_controlled:
            return length_rates(battles, difficulty=difficulty, gamed=gamed, resamples=resamples, seed=seed)
        return rates(battles, style=style, resamples=resamples, seed=seed)

    found = rated(battles)
    parts = {language: rated(part) for language, part in (battles.by_language().items() if by_language else ())}
    if as_json:
        say(json.dumps(_as_json(battles, found, parts), ensure_ascii=False))
        return
    console = TextConsole()
    _show(console, f"{file}: {_title(found)}", found.models, _items_note(battles))
    for language, part in parts.items():
        _show(console, language, part.models)
    if parts:
        _show(console, "mean over languages", mean_of(list(parts.values())))
        for model in _left_out(found, parts):
            console.print(f"{model}: in no mean, for it has no battle in some languages", soft_wrap=True)
    if found.style:
        written = ", ".join(f"{name} {value:+z.3f}" for name, value in found.style.items())
        console.print(f"style (nats for a usual difference): {written}", soft_wrap=True)
    for model, coefficients in found.control.items():
        written = ", ".join(f"{name} {value:+.3f}" for name, value in coefficients.items())
        console.print(f"{model}, length control (nats): {written}", soft_wrap=True)
    if battles.left_out:
        left_out = ", ".join(f"{name} {count}" for name, count in battles.left_out.items())
        console.print(f"without a verdict: {left_out}", soft_wrap=True)


def _as_json(battles: Battles, found: Rates, parts: dict[str, Rates]) -> dict[str, Any]:
    written = found.as_json()
    if battles.left_out:
        written["left_out"] = battles.left_out
    if battles.pool:
        written["items"] = len(battles.pool)
    if parts:
        written["languages"] = {language: part.as_json()["models"] for language, part in parts.items()}
        written["mean_over_languages"] = [one.as_row() for one in mean_of(list(parts.values()))]
    return written


def _title(found: Rates) -> str:
    against = f"against {found.baseline}" if found.baseline else "against the other models, each counting alike"
    how = {"mean": "", "length-controlled": " at equal length"}.get(found.method, " (Bradley-Terry)")
    return f"win rate {against}{how}"


def _items_note(battles: Battles) -> Sequence[str]:
    """How errors take the battles, where languages share their questions."""
    if not battles.pool:
        return ()
    languages = len({row.language for row in battles.rows})
    return [f"errors: items: {len(battles.pool):,} across {languages} languages, each drawn with all of its battles"]


def _left_out(found: Rates, parts: Mapping[str, Rates]) -> Sequence[str]:
    """Models that have no mean over languages."""
    means = {one.model for one in mean_of(list(parts.values()))}
    return [one.model for one in found.models if one.model not in means]


def _show(console: Console, title: str, models: Sequence[Rate], notes: Sequence[str] = ()) -> None:
    rows = [
        (
            one.model, _number(one.win_rate), _number(one.standard_error),
            f"{_number(one.low)} to {_number(one.high)}", str(one.n),
        )
        for one in models
    ]  # fmt: skip
    header = ("model", "win rate %", "standard error", "95% interval", "n")
    terminal.show_table(Table(header, rows, title, notes), console)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "unknown"
