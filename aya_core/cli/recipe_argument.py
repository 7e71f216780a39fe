"""The recipe argument that several commands take, and the bundled recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aya_core.errors import RecipeError, did_you_mean
from aya_core.recipe import LoadedRecipe, load_recipe
from aya_core.stage_settings import StageSettings

BUNDLED = Path(__file__).parent.parent / "recipes"
DEFAULT = "micro"

Command = TypeVar("Command", bound=Callable[..., Any])


override_option = click.option(
    "--set", "overrides", metavar="K=V", multiple=True, help="Override a setting: stages.offline.objective.beta=0.05."
)


def recipe_argument(command: Command) -> Command:
    """Add the arguments RECIPE and --set to a command."""
    return click.argument("recipe", required=False, metavar="[RECIPE]")(override_option(command))


def bundled_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.yaml"))}


def load(recipe: str | None, overrides: tuple[str, ...]) -> LoadedRecipe:
    """Load a recipe by file, or by the name of a bundled one."""
    bundled = bundled_recipes()
    name = recipe or DEFAULT
    if name in bundled and not Path(name).is_file():
        return load_recipe(bundled[name], overrides)
    if not Path(name).is_file() and "/" not in name and not name.endswith((".yaml", ".yml")):
        raise RecipeError(f"{name}: neither a file nor a bundled recipe; {did_you_mean(name, bundled)}")
    return load_recipe(Path(name), overrides)


def choose_stage(loaded: LoadedRecipe, named: str | None, kind: type[StageSettings]) -> str:
    """Name the stage of a kind that is meant: the one named, or the only one."""
    does = kind.model_fields["do"].default
    names = [stage.name for stage in loaded.recipe.stages if isinstance(stage, kind)]
    if named is not None:
        if named not in names:
            raise RecipeError(f"--stage {named}: no {does} stage of that name; {did_you_mean(named, names)}")
        return named
    if len(names) != 1:
        found = f"has {', '.join(names)}; say which with --stage" if names else f"has no {does} stage"
        raise RecipeError(f"{loaded.source}: {found}")
    return names[0]
