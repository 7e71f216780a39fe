"""`aya plan`: what a run would do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from aya_core.cli.amounts import counted
from aya_core.cli.arguments import find_recipe, recipe_argument, recipe_here
from aya_core.cli.terminal import say
from aya_core.contract.errors import RecipeError, did_you_mean
from aya_core.planning.plan import Node, Plan, make_plan
from aya_core.running.changes import first_difference
from aya_core.running.inventory import Inventory
from aya_core.running.run_folder import Run


@click.command(name="plan")
@recipe_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME by default.")
@click.option("--all", "show_all", is_flag=True, help="Show every step, in order, and what it reads.")
@click.option(
    "--why", is_flag=False, flag_value="", metavar="[STEP]",
    help="Show the first thing that has changed for each step that does not stand, or for the steps of this name or stage.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of steps.")
def command(
    recipe: str | None, overrides: tuple[str, ...], out: Path | None, show_all: bool, why: str | None, as_json: bool
) -> None:  # fmt: skip
    """Show what a run would do: for each stage how many of its steps stand already, and how many are to do."""
    loaded = find_recipe(recipe, overrides) if recipe else recipe_here(overrides, "plan")
    plan = make_plan(loaded)
    run = Run(out or Path("runs") / loaded.recipe.name)
    run.check(loaded)
    inventory = Inventory(run)
    inventory.find_all(plan)
    for path in plan.hub_models():
        if inventory.content_outside(path) is None:
            say(f"not known yet: {inventory.unresolved[path]}", err=True)
    if why is not None:
        _explain(plan, inventory, why, as_json=as_json)
        return
    steps: list[dict[str, Any]] = [
        {
            "step": node.id,
            "stage": node.stage,
            "action": node.action,
            "makes": node.kind,
            "reads": sorted(set(node.inputs.values()) | set(node.external.values())),
            "stands": inventory.look(node) is not None,
            "fallback": inventory.standing[node.id].node if inventory.substitute(node) is not None else None,
            "why": inventory.stop_reason(node),
        }
        for node in plan.nodes.values()
    ]
    if as_json:
        say(json.dumps(steps))
    elif show_all:
        _show_steps(steps)
    else:
        _show_stages(steps)
    if not as_json:
        standing = sum(step["stands"] for step in steps)
        say(f"{counted(len(steps), 'step')}, {standing} stand, {len(steps) - standing} to do")


def _show_stages(steps: list[dict[str, Any]]) -> None:
    count, stand = (Counter(step["stage"] for step in steps if step["stands"] or not only) for only in (False, True))
    width = max(map(len, count), default=0)
    say(f"{'stage':{width}}  steps  stand  to do")
    for stage, number in count.items():
        say(f"{stage:{width}}  {number:5}  {stand[stage]:5}  {number - stand[stage]:5}")


def _show_steps(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        mark = "stands" if step["stands"] else "to do"
        reads = f" from {', '.join(step['reads'])}" if step["reads"] else ""
        if step["fallback"] is not None:
            reads = f" is {step['fallback']}" + (f", as {step['why']}" if step["why"] else "")
            mark = "not done" if step["why"] else mark
        say(f"{mark:8}  {step['step']}: {step['action']} {step['makes']}{reads}")


def _explain(plan: Plan, inventory: Inventory, wanted: str, *, as_json: bool) -> None:
    """Say why steps do not stand. wanted: a step or stage; all where it is empty. Raises RecipeError for an unknown one."""
    nodes = [node for node in plan.nodes.values() if wanted in ("", node.id, node.stage)]
    if not nodes:
        known = [*plan.nodes, *dict.fromkeys(node.stage for node in plan.nodes.values())]
        raise RecipeError(f"--why {wanted}: no step or stage named '{wanted}'; {did_you_mean(wanted, known)}")
    reasons = {node.id: _why(plan, inventory, node) for node in nodes}
    if as_json:
        say(json.dumps([{"step": id, "stands": reason is None, "because": reason} for id, reason in reasons.items()]))
        return
    for id, reason in reasons.items():
        if reason is not None:
            say(f"{id}: {reason}")
        elif wanted == id:
            say(f"{id}: stands")
    if all(reason is None for reason in reasons.values()) and wanted not in plan.nodes:
        say(f"all {counted(len(reasons), 'step')} stand")


def _why(plan: Plan, inventory: Inventory, node: Node) -> str | None:
    """Why a step does not stand; None for one that does."""
    if node.id in inventory.standing:
        return None
    unknown = next((path for path in node.external.values() if path in inventory.unresolved), None)
    if unknown is not None:
        return f"the commit of {unknown} is not known"
    difference = first_difference(node, inventory.run.folders(node), inventory.known_contents(node))
    if difference is not None:
        return str(difference)
    waits = next((id for id in plan.nodes if id in node.after and id not in inventory.standing), None)
    return "never made" if waits is None else f"waits for {waits}"
