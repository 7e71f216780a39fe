"""`aya status`: how far a run has come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
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
    stages: dict[str, dict[str, Any]] = {}
    for node in plan.nodes.values():
        stage = stages.setdefault(node.stage, {"steps": 0, "done": 0, "seconds": 0.0, "skipped": 0, "ended": None})
        stage["steps"] += 1
        artifact = inventory.look(node)
        if (why := inventory.stop_reason(node)) is not None:
            stage["skipped"] += 1
            stage["ended"] = why
        elif artifact is not None:
            stage["done"] += 1
            stage["seconds"] += artifact.seconds if artifact.node == node.id else 0.0
    if as_json:
        click.echo(json.dumps({"recipe": loaded.recipe.name, "stages": stages}))
        return
    table = Table("stage", "done", "seconds", title=f"{loaded.recipe.name} in {folder}", title_justify="left")
    for name, stage in stages.items():
        skipped = f", {stage['skipped']} not done" if stage["skipped"] else ""
        table.add_row(name, f"{stage['done']}/{stage['steps']}{skipped}", f"{stage['seconds']:.1f}")
    console = Console()
    console.print(table)
    for name, stage in stages.items():
        if stage["ended"] is not None:
            console.print(f"{name}: {escape(stage['ended'])}", soft_wrap=True, highlight=False)
