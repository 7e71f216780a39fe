"""`aya run`: from prompts to report."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aya_core.cli import spec
from aya_core.cli.progress import Progress
from aya_core.cli.recipe_argument import load, recipe_argument
from aya_core.report import files, gather, terminal
from aya_core.runner import Runner
from aya_core.stages import make_plan


@click.command(name="run")
@recipe_argument
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME by default. The same folder goes on."
)
@click.option("--until", metavar="STAGE", help="Stop when this stage is done.")
@click.option("--ask-again", is_flag=True, help="Ask again what had no answer, and judge again what failed.")
@spec.track_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout; progress goes to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    recipe: str | None, overrides: tuple[str, ...], out: Path | None, until: str | None, ask_again: bool,
    track: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run a recipe (a YAML file, or the name of a bundled one); without RECIPE, the bundled micro recipe.

    A run that was stopped or killed goes on where it was. Steps whose settings and inputs have not changed are reused.
    """
    loaded = load(recipe, overrides)
    whole = plan = make_plan(loaded)
    if until is not None:
        plan = whole.until(until)
    folder = out or Path("runs") / loaded.recipe.name
    runner = Runner(loaded, plan, folder, ask_again=ask_again, track=spec.trackers(track, loaded.registry))
    with Progress(len(plan.nodes), quiet=quiet) as progress:
        loaded.registry.manager.register(progress, "terminal")
        runner.go()
    report = gather.gather(loaded, whole, runner.inventory.find_all(whole), runner.run.about()["seconds"])
    files.write(report, folder)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    terminal.show(report, progress.console)
    for name, account in report["arbitrage"].items():
        terminal.show_warnings(name, account, progress.console)
    terminal.show_searches(report, progress.console)
    terminal.show_rounds(report, progress.console)
    progress.console.print(
        f"{report['seconds']} s. Report: {folder / 'report.html'} (also .md and .json)", soft_wrap=True
    )
