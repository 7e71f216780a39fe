"""`aya status`: how far a run has come."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from aya_core.cli.run_folder import load_run
from aya_core.runner import Inventory
from aya_core.stages import make_plan


@click.command(name="status")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """Show, stage by stage, how many steps of the run in DIR are done and how long they took."""
    run, loaded = load_run(folder)
    plan = make_plan(loaded)
    inventory = Inventory(run)
    stages: dict[str, dict[str, float]] = {}
    for node in plan.nodes.values():
        stage = stages.setdefault(node.stage, {"steps": 0, "done": 0, "seconds": 0.0})
        stage["steps"] += 1
        if (artifact := inventory.look(node)) is not None:
            stage["done"] += 1
            stage["seconds"] += artifact.seconds
    if as_json:
        click.echo(json.dumps({"recipe": loaded.recipe.name, "stages": stages}))
        return
    table = Table("stage", "done", "seconds", title=f"{loaded.recipe.name} in {folder}", title_justify="left")
    for name, stage in stages.items():
        table.add_row(name, f"{stage['done']}/{stage['steps']}", f"{stage['seconds']:.1f}")
    Console().print(table)
