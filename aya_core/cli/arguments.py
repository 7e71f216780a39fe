"""What several commands take: a recipe, overrides of it, and what becomes of answers whose code has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aya_core.contract.errors import RecipeError, did_you_mean
from aya_core.contract.trouble import is_file
from aya_core.planning.recipe import LoadedRecipe, load_recipe
from aya_core.planning.registry import Registry

HERE = "recipe.yaml"
"""The recipe that is meant where none is named."""

OWN = "aya-core"
"""The distribution whose recipe `aya run` falls back on."""

Command = TypeVar("Command", bound=Callable[..., Any])


def override_option(command: Command) -> Command:
    """Add the option --set to a command."""
    return click.option(
        "--set",
        "overrides",
        metavar="K=V",
        multiple=True,
        help="Override a setting: stages.offline.objective.beta=0.05; K=@FILE takes the value from a YAML file.",
    )(command)


def recipe_argument(command: Command) -> Command:
    """Add the arguments RECIPE and --set to a command."""
    return click.argument("recipe", required=False, metavar="[RECIPE]")(override_option(command))


def changed_code_options(command: Command) -> Command:
    """Add --keep and --redo to a command that asks teachers or arbiters; it gets `changed_code`."""
    keep = click.option(
        "--keep", "changed_code", flag_value="keep",
        help="Take over answers and verdicts although the code that gave them has changed.",
    )  # fmt: skip
    redo = click.option(
        "--redo", "changed_code", flag_value="redo",
        help="Ask anew for answers and verdicts whose code has changed. Without --keep or --redo nothing is done then.",
    )  # fmt: skip
    return keep(redo(command))


def find_recipe(recipe: str, overrides: tuple[str, ...]) -> LoadedRecipe:
    """Load a recipe by file, or by the name of a bundled one."""
    if not is_file(Path(recipe)) and "/" not in recipe and not recipe.endswith((".yaml", ".yml")):
        bundled = Registry().recipes
        if recipe not in bundled:
            raise RecipeError(f"{recipe}: neither a file nor a bundled recipe; {did_you_mean(recipe, bundled)}")
        return load_recipe(bundled[recipe], overrides)
    return load_recipe(Path(recipe), overrides)


def recipe_here(overrides: tuple[str, ...], command: str) -> LoadedRecipe:
    """Load the recipe of the current folder. Raises RecipeError where there is none. command: for the message."""
    if not Path(HERE).is_file():
        raise RecipeError(f"no recipe is named and there is no {HERE} here; expected: aya {command} RECIPE")
    return load_recipe(Path(HERE), overrides)


def recipe_to_run(overrides: tuple[str, ...]) -> LoadedRecipe:
    """Load the recipe of the current folder, or else the one that comes with aya-core. Raises RecipeError where there is none."""
    if Path(HERE).is_file():
        return load_recipe(Path(HERE), overrides)
    registry = Registry()
    own = [path for name, path in registry.recipes.items() if registry.origin("recipe", name).distribution == OWN]
    if len(own) != 1:
        raise RecipeError(f"no recipe is named and there is no {HERE} here; {did_you_mean('', registry.recipes)}")
    return load_recipe(own[0], overrides)
