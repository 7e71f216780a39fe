"""`aya check`: is the recipe sound?"""

from __future__ import annotations

import json

import click

from aya_core.cli.amounts import counted
from aya_core.cli.arguments import find_recipe, recipe_argument, recipe_here
from aya_core.cli.terminal import say
from aya_core.planning.hub import cached_commit
from aya_core.planning.plan import make_plan
from aya_core.running.machine import check_machine
from aya_core.running.runner import check_imports


@click.command(name="check")
@recipe_argument
@click.option("--elsewhere", is_flag=True, help="Check it for another machine: the GPUs of this one are not looked at.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(recipe: str | None, overrides: tuple[str, ...], elsewhere: bool, as_json: bool) -> None:
    """Validate a recipe: every key, strategy, reference and file, and whether it can work on this machine, without importing
    anything heavy or running anything."""
    loaded = find_recipe(recipe, overrides) if recipe else recipe_here(overrides, "check")
    plan = make_plan(loaded)
    check_imports(plan, loaded)
    check_machine(plan, loaded, elsewhere=elsewhere)
    unknown = [text for text, model in plan.hub_models().items() if cached_commit(model) is None]
    counts = {"stages": len(loaded.recipe.stages), "steps": len(plan.nodes)}
    if as_json:
        say(json.dumps({"recipe": loaded.recipe.name, "source": loaded.source, **counts, "not_cached": unknown}))
    else:
        but = f", but for {counted(len(unknown), 'model')} that could not be looked at" if unknown else ""
        say(f"{loaded.source}: sound{but}; {counted(counts['stages'], 'stage')}, {counted(counts['steps'], 'step')}")
        if unknown:
            say(f"not in the download cache, so not looked at: {', '.join(unknown)}; `aya run` asks the hub", err=True)
