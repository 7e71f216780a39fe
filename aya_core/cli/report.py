"""`aya report`: what each stage gained."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from aya_core.cli.run_folder import load_run
from aya_core.report import files, gather, terminal
from aya_core.runner import Inventory
from aya_core.stages import make_plan


@click.command(name="report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Gather the report of the run in DIR from what stands there, write it to DIR/report.{json,md,html}, its tables to
    DIR/tables/, and show it."""
    run, loaded = load_run(folder)
    plan = make_plan(loaded)
    inventory = Inventory(run)
    standing = inventory.find_all(plan)
    report = gather.gather(loaded, plan, standing, run.about().get("seconds", 0.0))
    files.write(report, folder)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    console = Console()
    terminal.show(report, console)
    terminal.show_tables(report, console)
    for name, account in report["arbitrage"].items():
        terminal.show_account(name, account, console)
    terminal.show_searches(report, console)
    terminal.show_rounds(report, console, whole=True)
    click.echo(
        f"{len(standing)} of {len(plan.nodes)} steps stand. Report: {folder / 'report.html'} (also .md and .json)"
    )
