"""`aya plan`: what a run would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from aya_core.cli.recipe_argument import load, recipe_argument
from aya_core.runner import Inventory, Run
from aya_core.stages import make_plan


@click.command(name="plan")
@recipe_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME by default.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of steps.")
def command(recipe: str | None, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Show the steps of a recipe in order, what each reads, and whether its result stands already."""
    loaded = load(recipe, overrides)
    plan = make_plan(loaded)
    inventory = Inventory(Run(out or Path("runs") / loaded.recipe.name))
    steps: list[dict[str, Any]] = [
        {
            "step": node.id,
            "stage": node.stage,
            "action": node.action,
            "makes": node.kind,
            "reads": sorted(set(node.inputs.values()) | set(node.external.values())),
            "stands": inventory.look(node) is not None,
            "instead": inventory.standing[node.id].node if inventory.stand_in(node) is not None else None,
            "why": inventory.stop_reason(node),
        }
        for node in plan.nodes.values()
    ]
    if as_json:
        click.echo(json.dumps(steps))
        return
    for step in steps:
        mark = "stands" if step["stands"] else "to do"
        reads = f" from {', '.join(step['reads'])}" if step["reads"] else ""
        if step["instead"] is not None:
            reads = f" is {step['instead']}" + (f", as {step['why']}" if step["why"] else "")
            mark = "not done" if step["why"] else mark
        click.echo(f"{mark:8}  {step['step']}: {step['action']} {step['makes']}{reads}")
    standing = sum(step["stands"] for step in steps)
    click.echo(f"{len(steps)} steps, {standing} stand, {len(steps) - standing} to do")
