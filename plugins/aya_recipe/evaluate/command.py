"""`aya evaluate`: evaluation alone, of models that are named or of a recipe's stages, with tables as papers print them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console

from aya_core.api import (
    LoadedRecipe,
    RecipeError,
    Registry,
    Runner,
    RunRecord,
    TextConsole,
    find_recipe,
    make_plan,
    read_strategy,
    run_plan,
    say,
    yaml12,
)
from aya_recipe.data.writing import write_records
from aya_recipe.evaluate.samples import JSON_COLUMNS, Sample, samples as samples_of
from aya_recipe.evaluate.stage import EvaluateStage
from aya_recipe.evaluate.suite import load_suite
from aya_recipe.options.alone import limit_option, limited, recipe_of, run_folder, run_options
from aya_recipe.options.words import by_name, choose_stage, read_model, read_named, read_row_source
from aya_recipe.report import terminal

NAME = "evaluate"
"""Of the stage and its recipe, where options make them."""


@click.command(name="evaluate")
@click.argument("models", nargs=-1, metavar="MODEL... | RECIPE")
@click.option("--stage", metavar="NAME", help="Which evaluate stage of RECIPE; all of them by default.")
@click.option(
    "--evaluator", "evaluators", metavar="SPEC|NAME=SPEC|FILE", multiple=True,
    help="What to measure, or a YAML file that says it; repeat it. The first leads.",
)  # fmt: skip
@click.option("--suite", metavar="NAME|FILE", help="What to measure: a suite, such as expanse, or a file of one.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the suite's data is.")
@click.option("--prompts", metavar="FILE|SPEC", help="Prompts to be answered, for evaluators of answers.")
@click.option("--teacher", metavar="SPEC", help="How each model is run; transformers by default.")
@click.option("--against", metavar="MODEL|SPEC", help="The rival of a suite's win rates: a model, or a teacher.")
@click.option("--judge", metavar="SPEC", help="The judge of a suite's win rates: an arbiter.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every sample (prompt, answer or options, gold, scores) to FILE: Parquet if it ends in .parquet, else JSONL.",
)
@limit_option("N rows or prompts of each language, drawn by a hash")
@run_options(NAME, as_json="all numbers", shown="the tables are")
def command(
    models: tuple[str, ...], stage: str | None, evaluators: tuple[str, ...], suite: str | None, data: Path | None,
    prompts: str | None, teacher: str | None, against: str | None, judge: str | None,
    samples: Path | None, limit: int | None, overrides: tuple[str, ...],
    out: Path | None, changed_code: Literal["keep", "redo"] | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Evaluate models: folders or hub ids, without a recipe, or the evaluate stages of a RECIPE and what they need.

    A SPEC is a strategy with its settings: xcopa,data=./xcopa or '{use: xcopa, data: ./xcopa}'. Other settings go into --set, such as
    --set stages.evaluate.sampling.max_tokens=512. Tables are written to OUT/tables as Markdown, LaTeX, HTML and JSON, figures to
    OUT/pictures. What was measured before is not measured again: models and evaluators can be added to the same OUT.
    """
    own = {"--evaluator": evaluators, "--suite": suite, "--prompts": prompts, "--teacher": teacher}
    given = [name for name, value in own.items() if value]
    left_out: Sequence[str] = ()
    if _is_recipe(models):
        if given:
            raise click.UsageError(f"{given[0]} goes with MODEL...; change RECIPE with --set")
        loaded = find_recipe(models[0], overrides)
    elif not models:
        raise click.UsageError("no model is named; expected folders or hub ids, or a RECIPE")
    elif suite is not None:
        if evaluators or prompts:
            raise click.UsageError(f"{given[0]} and --suite both say what to measure; keep one")
        loaded, left_out = load_suite(
            suite, models, data, against=against, judge=judge, teacher=teacher, overrides=overrides
        )
    else:
        loaded = _from_options(models, evaluators, prompts, teacher, overrides)
    console = TextConsole(stderr=True)
    for line in left_out:
        console.print(line, style="yellow", soft_wrap=True)
    chosen = [one.name for one in loaded.recipe.stages if isinstance(one, EvaluateStage) and stage in (None, one.name)]
    loaded = limited(loaded, chosen, limit)
    _evaluate(
        loaded, stage, run_folder(loaded, out), console, changed_code, samples=samples, as_json=as_json, quiet=quiet
    )


def _evaluate(
    loaded: LoadedRecipe,
    stage: str | None,
    folder: Path,
    console: Console,
    changed_code: Literal["keep", "redo"] | None,
    *,
    samples: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    names = [one.name for one in loaded.recipe.stages if isinstance(one, EvaluateStage)]
    if stage is not None or not names:
        names = [choose_stage(loaded, stage, EvaluateStage)]
    plan = make_plan(loaded).only(*names)
    _, report = run_plan(Runner(loaded, plan, folder, changed_code=changed_code), quiet=quiet)
    if samples is not None:
        run = RunRecord.read(folder)
        rows = chain.from_iterable(samples_of(run.stage(name)) for name in names)
        count = write_records(rows, Sample, samples, JSON_COLUMNS)
        console.print(f"{samples}: {count:,} samples", soft_wrap=True)
    if as_json:
        say(json.dumps({name: report.sections[name].data.get("table") for name in names}, ensure_ascii=False))
        return
    results = TextConsole()
    for name in names:
        terminal.show(name, report.sections[name], results, "tables")
    message = f"{folder / 'tables'}: the same as Markdown, LaTeX, HTML and JSON; figures: {folder / 'pictures'}"
    console.print(message, soft_wrap=True)


def _settings_in(file: Path) -> dict[str, Any]:
    """Read an evaluator's settings from a file; its data is relative to the file."""
    if not file.is_file():
        raise RecipeError(
            f"--evaluator {file}: no such file; expected YAML such as {{use: choice, data: ..., question: ...}}"
        )
    found = yaml12.read(file)
    if not isinstance(found, dict) or "use" not in found:
        raise RecipeError(f"--evaluator {file}: expected a mapping with `use`, the evaluator's name, and its settings")
    if isinstance(found.get("data"), str):
        found["data"] = str(file.parent / found["data"])
    return found


def _name_of(file: Path) -> str:
    """A file's name as a name of a recipe."""
    return "-".join(re.findall(r"[a-z0-9]+", file.stem.lower())) or "benchmark"


def _is_recipe(words: Sequence[str]) -> bool:
    return len(words) == 1 and (
        words[0].endswith((".yaml", ".yml")) or (words[0] in Registry().recipes and not Path(words[0]).is_dir())
    )


def _from_options(
    models: Sequence[str], evaluators: Sequence[str], prompts: str | None, teacher: str | None, overrides: Sequence[str]
) -> LoadedRecipe:
    if not evaluators:
        raise click.UsageError(
            "--evaluator is missing; expected what to measure, such as xcopa,data=./xcopa, or --suite"
        )
    stage: dict[str, Any] = {
        "name": NAME,
        "do": "evaluate",
        "models": [read_model(model) for model in models],
        "evaluators": by_name(map(_evaluator, evaluators), "--evaluator"),
        "greedy": False,
        **({"prompts": read_row_source(prompts, "--prompts")} if prompts else {}),
        **({"teacher": read_strategy(teacher, "--teacher")} if teacher else {}),
    }
    return recipe_of(stage, overrides, command="evaluate")


FILES = (".yaml", ".yml")
"""Endings of files that hold an evaluator's settings, such as a benchmark of one's own."""


def _evaluator(text: str) -> tuple[str, dict[str, Any]]:
    """Read `strategy`, whose name is then its own, or `name=strategy`; or a YAML file of one, by whose name it is called."""
    name, equals, rest = text.partition("=")
    if text.endswith(FILES) and not text.lstrip().startswith("{") and "," not in text:
        return (name, _settings_in(Path(rest))) if equals else (_name_of(Path(text)), _settings_in(Path(text)))
    if equals and "," not in name and not text.lstrip().startswith("{"):
        label, found = read_named(text, "--evaluator")
    else:
        found = read_strategy(text, "--evaluator")
        label = str(found.get("use", ""))
    if isinstance(found.get("against"), str):
        found["against"] = read_model(found["against"])
    return label, found
