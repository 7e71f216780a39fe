"""`aya run`: from prompts to report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from aya_core.cli.arguments import changed_code_options, find_recipe, recipe_argument, recipe_to_run
from aya_core.cli.run_plan import reporter_of, run_plan
from aya_core.cli.spec import read_trackers, track_option
from aya_core.cli.terminal import TextConsole, say
from aya_core.planning.plan import make_plan
from aya_core.running.reporting import REPORT, as_row
from aya_core.running.runner import Runner


@click.command(name="run")
@recipe_argument
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME by default. The same folder goes on."
)
@click.option("--until", metavar="STAGE", help="Stop when this stage is done.")
@click.option(
    "--ask-again", is_flag=True, help="Ask again what had no answer or an empty one, and judge again what failed."
)
@changed_code_options
@track_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout; progress goes to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    recipe: str | None, overrides: tuple[str, ...], out: Path | None, until: str | None, ask_again: bool,
    changed_code: Literal["keep", "redo"] | None, track: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run a recipe (a YAML file, or the name of a bundled one); without RECIPE, recipe.yaml of this folder, or the
    recipe that comes with aya-core.

    A run that was stopped or killed goes on where it was. Steps whose settings and inputs have not changed are reused.
    """
    loaded = find_recipe(recipe, overrides) if recipe else recipe_to_run(overrides)
    plan = make_plan(loaded)
    if until is not None:
        plan = plan.until(until)
    folder = out or Path("runs") / loaded.recipe.name
    tracks = read_trackers(track, loaded.registry)
    runner = Runner(loaded, plan, folder, ask_again=ask_again, changed_code=changed_code, track=tracks)
    _, report = run_plan(runner, quiet=quiet)
    if as_json:
        say(json.dumps(as_row(report), ensure_ascii=False))
        return
    console = TextConsole(stderr=True, quiet=quiet)
    reporter = reporter_of(loaded.registry)
    if reporter is not None:
        reporter.show(report, TextConsole(quiet=quiet))
    files = folder / ("report.html" if reporter is not None else REPORT)
    console.print(f"{report.seconds} s. Report: {files}", soft_wrap=True)
