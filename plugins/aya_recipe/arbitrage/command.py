"""`aya arbitrate`: data arbitrage alone, of a recipe or from options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from aya_core.api import LoadedRecipe, Runner, TextConsole, make_plan, read_strategy, run_plan, say
from aya_recipe.arbitrage.stage import ArbitrageStage
from aya_recipe.data.writing import write_artifact
from aya_recipe.options.alone import (
    limit_option,
    limited,
    load_given,
    recipe_of,
    recipe_or_options,
    run_folder,
    run_options,
)
from aya_recipe.options.words import by_name, choose_stage, read_dataset, read_named
from aya_recipe.report import terminal


@click.command(name="arbitrate")
@recipe_or_options("Which arbitrage stage of RECIPE, where it has several.")
@click.option("--prompts", metavar="FILE|SPEC", help="What is asked: a JSONL or Parquet file, or a data set.")
@click.option("--teacher", "teachers", metavar="NAME=SPEC", multiple=True, help="A teacher of the pool; repeat it.")
@click.option("--arbiter", metavar="SPEC", help="Who judges.")
@click.option("--router", metavar="SPEC", help="Who is asked; all by default.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Write best.jsonl and pairs.jsonl into the run folder, too.")
@limit_option("N prompts of each language, drawn by a hash of their ids")
@click.option(
    "--ask-again", is_flag=True, help="Ask again what had no answer or an empty one, and judge again what failed."
)
@run_options("arbitrage", as_json="the account", shown="the account is")
def command(
    recipe: str | None, stage: str | None, prompts: str | None, teachers: tuple[str, ...], arbiter: str | None,
    router: str | None, overrides: tuple[str, ...], out: Path | None, as_jsonl: bool, limit: int | None, ask_again: bool,
    changed_code: Literal["keep", "redo"] | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Ask a pool of teachers, judge their answers, and pick the best ones and pairs: one stage, and what it needs.

    The stage is one of RECIPE, or made of --prompts, --teacher and --arbiter. A SPEC is a strategy with its settings:
    reward-model,model=./rm or '{use: reward-model, model: ./rm}'. Other settings go into --set, such as
    --set stages.arbitrage.sampling.max_tokens=512. A run that was stopped goes on where it was.
    """
    options = {"--prompts": prompts, "--teacher": teachers, "--arbiter": arbiter, "--router": router}
    loaded = load_given(recipe, options, overrides) or _from_options(prompts, teachers, arbiter, router, overrides)
    stage = choose_stage(loaded, stage, ArbitrageStage)
    loaded = limited(loaded, [stage], limit)
    plan = make_plan(loaded).only(stage)
    folder = run_folder(loaded, out)
    runner = Runner(loaded, plan, folder, ask_again=ask_again, changed_code=changed_code)
    made, report = run_plan(runner, quiet=quiet)
    section = report.sections[stage]
    if as_jsonl:
        for rows in ("best", "pairs"):
            write_artifact(made[f"{stage}.{rows}"], folder / f"{rows}.jsonl")
    if as_json:
        say(json.dumps(section.data, ensure_ascii=False))
        return
    console = TextConsole(stderr=True)
    terminal.show(stage, section, TextConsole(), "report")
    console.print(
        f"{folder / 'report.html'}, {folder / 'pictures' / f'{stage}.svg'}; rows: aya export {folder} {stage}.best",
        soft_wrap=True,
    )


def _from_options(
    prompts: str | None, teachers: tuple[str, ...], arbiter: str | None, router: str | None, overrides: tuple[str, ...]
) -> LoadedRecipe:
    missing = [
        name for name, value in {"--prompts": prompts, "--teacher": teachers, "--arbiter": arbiter}.items() if not value
    ]
    if prompts is None or arbiter is None or not teachers:
        raise click.UsageError(f"{missing[0]} is missing; expected a RECIPE, or --prompts, --teacher and --arbiter")
    stage: dict[str, Any] = {
        "name": "arbitrage",
        "do": "arbitrage",
        "prompts": read_dataset(prompts, "--prompts"),
        "teachers": by_name((read_named(text, "--teacher") for text in teachers), "--teacher"),
        "arbiter": read_strategy(arbiter, "--arbiter"),
        **({"router": read_strategy(router, "--router")} if router else {}),
    }
    return recipe_of(stage, overrides, command="arbitrate")
