"""The recipe argument that several commands take, and the bundled recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aya_core.contract.errors import RecipeError, did_you_mean
from aya_core.contract.stage import Stage
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
        help="Override a setting: stages.offline.objective.beta=0.05.",
    )(command)


def recipe_argument(command: Command) -> Command:
    """Add the arguments RECIPE and --set to a command."""
    return click.argument("recipe", required=False, metavar="[RECIPE]")(override_option(command))


def find_recipe(recipe: str, overrides: tuple[str, ...]) -> LoadedRecipe:
    """Load a recipe by file, or by the name of a bundled one."""
    if not Path(recipe).is_file() and "/" not in recipe and not recipe.endswith((".yaml", ".yml")):
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


def choose_stage(loaded: LoadedRecipe, named: str | None, kind: type[Stage]) -> str:
    """Name the stage of a kind that is meant: the one named, or the only one."""
    names = [stage.name for stage in loaded.recipe.stages if isinstance(stage, kind)]
    (does,) = [name for name, offered in loaded.registry.stages.items() if offered is kind]
    if named is not None:
        if named not in names:
            raise RecipeError(f"--stage {named}: no {does} stage of that name; {did_you_mean(named, names)}")
        return named
    if len(names) != 1:
        found = f"has {', '.join(names)}; say which with --stage" if names else f"has no {does} stage"
        raise RecipeError(f"{loaded.source}: {found}")
    return names[0]
