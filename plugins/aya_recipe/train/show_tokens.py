"""`aya show-tokens`: rows as a trainer sees them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import click

from aya_core.api import (
    Inventory,
    LoadedRecipe,
    Node,
    ObjectiveStrategy,
    Plan,
    PluginError,
    RecipeError,
    Run,
    ShowingTrainer,
    Strategy,
    check_imports,
    did_you_mean,
    find_recipe,
    make_plan,
    override_option,
)
from aya_recipe.train.job_at_hand import JobAtHand
from aya_recipe.train.options import NAME, stage_from_options, stage_options
from aya_recipe.train.shown import Shown, Tally

COUNTED = 1000
"""Rows that are encoded for the summary, at the most."""


@click.command(name="show-tokens")
@click.argument("recipe", required=False, metavar="[RECIPE]")
@click.option("--stage", metavar="NAME", help="Which train stage of RECIPE, or which step of it: sft@europe.")
@stage_options
@override_option
@click.option("--out", type=click.Path(path_type=Path), help="Run folder of RECIPE; runs/NAME by default.")
@click.option("-n", "many", default=3, show_default=True, type=click.IntRange(0), help="Rows that are shown.")
@click.option("--language", metavar="CODE", help="Only rows in this language.")
@click.option("--ids", is_flag=True, help="Show the id of each token after it.")
@click.option("--plain", is_flag=True, help="No colour: what is learnt stands in brackets, token by token.")
def command(
    recipe: str | None, stage: str | None, start: str | None, data: str | None, trainer: str | None,
    overrides: tuple[str, ...], out: Path | None, many: int, language: str | None, ids: bool, plain: bool,
) -> None:  # fmt: skip
    """Show real rows as the tokens that a trainer sees, and which of them are learnt.

    The prompt is dim. What is learnt is coloured, two colours in turn, so that the borders of tokens are seen; special tokens are
    bold, a new line is shown as ⏎. Below stand counts over the first 1,000 rows, and warnings of rows that teach nothing or do
    not end their turn: signs of a wrong chat template.

    The stage is one of RECIPE, or made of --start, --data and --trainer. Rows and models that earlier stages make must stand in
    the run folder; data sets are read right away. Nothing is changed there.
    """
    given = [name for name, value in {"--start": start, "--data": data, "--trainer": trainer}.items() if value]
    if recipe is not None and given:
        raise click.UsageError(f"{given[0]} makes a stage of its own; leave out RECIPE, or change it with --set")
    if recipe is None:
        loaded = _with_any_objective(stage_from_options(start, data, trainer, overrides, command="show-tokens"))
        stage = NAME
    else:
        loaded = find_recipe(recipe, overrides)
    plan = make_plan(loaded)
    node = _choose(loaded, plan, stage)
    check_imports(Plan(plan.recipe, {node.id: node}, {}), loaded)
    inventory = Inventory(Run(out or Path("runs") / loaded.recipe.name))
    inventory.find_all(plan)
    with tempfile.TemporaryDirectory() as scratch:
        at_hand = JobAtHand(loaded, plan, node, inventory, Path(scratch))
        built = _built(loaded, at_hand.trainer)
        tally = Tally()
        shown = Shown(many, ids=ids, plain=plain)
        rows = groupby(built.show(at_hand.job(language, COUNTED)), lambda row: row.prompt_id)
        for place, (_, texts) in enumerate(rows):
            for part in texts:
                tally.add(part)
                shown.show(place, part)
        first = "the first " if len(tally.ids) == COUNTED else ""
        shown.summarise(tally, f"{node.id}: {first}")


def _with_any_objective(loaded: LoadedRecipe) -> LoadedRecipe:
    """Give the only stage an objective where its trainer wants one: how rows are encoded does not depend on which."""
    (stage,) = loaded.recipe.stages
    if stage.objective is not None or not stage.trainer.needs_objective:
        return loaded
    objectives = cast("Mapping[str, type[ObjectiveStrategy]]", loaded.registry.strategies["objective"])
    for objective in objectives.values():
        if objective.over == stage.trainer.objective_over and not any(
            f.is_required() for f in objective.model_fields.values()
        ):
            stages = (stage.model_copy(update={"objective": objective()}),)
            return replace(loaded, recipe=loaded.recipe.model_copy(update={"stages": stages}))
    return loaded  # the plan will say what is missing


def _choose(loaded: LoadedRecipe, plan: Plan, named: str | None) -> Node:
    """The training step that is meant: the one named, or the first one of the stage named, or of the only stage."""
    nodes = [node for node in plan.nodes.values() if node.action == "train"]
    stages = list(dict.fromkeys(node.stage for node in nodes))
    if named is None and len(stages) != 1:
        found = f"trains in {', '.join(stages)}; say which with --stage" if stages else "trains nothing"
        raise RecipeError(f"{loaded.source}: {found}")
    meant = [node for node in nodes if named is None or named in (node.id, node.stage)]
    if not meant:
        known = [*stages, *(node.id for node in nodes)]
        raise RecipeError(f"--stage {named}: no such stage that trains; {did_you_mean(str(named), known)}")
    return meant[0]


def _built(loaded: LoadedRecipe, strategy: Strategy[Any]) -> ShowingTrainer:
    trainer = strategy.build()
    if isinstance(trainer, ShowingTrainer):
        return trainer
    name = loaded.registry.name_of("trainer", strategy)
    raise PluginError(
        f"trainer '{name}' of {loaded.registry.origin('trainer', name).distribution} cannot show its rows; expected one with "
        "`show(job)`, such as sft (docs/write-a-plugin.md)"
    )
