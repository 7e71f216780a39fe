"""One stage as a command: a stage of a RECIPE, or one made of options; where it runs, and what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from aya_core.api import LoadedRecipe, changed_code_options, find_recipe, override_option, validate_recipe

Command: TypeAlias = Callable[..., Any]


def recipe_or_options(which: str) -> Callable[[Command], Command]:
    """Add RECIPE and --stage to a command. which: the help of --stage."""

    def add(command: Command) -> Command:
        command = click.option("--stage", metavar="NAME", help=which)(command)
        return click.argument("recipe", required=False, metavar="[RECIPE]")(command)

    return add


def run_options(name: str, *, as_json: str, shown: str) -> Callable[[Command], Command]:
    """Add --set, --keep, --redo, --out, --json and --quiet to a command.

    name: of the run where no RECIPE names it. as_json: what --json prints. shown: what is printed with --quiet, too.
    """

    def add(command: Command) -> Command:
        for option in (
            click.option("-q", "--quiet", is_flag=True, help=f"No progress; {shown} shown."),
            click.option("--json", "as_json", is_flag=True, help=f"Print {as_json} as JSON on stdout; progress goes to stderr."),
            click.option(
                "--out", type=click.Path(path_type=Path), help=f"Run folder; runs/{name}, or that of RECIPE, by default."
            ),
            changed_code_options,
            override_option,
        ):  # fmt: skip
            command = option(command)
        return command

    return add


def load_given(recipe: str | None, own: Mapping[str, Any], overrides: tuple[str, ...]) -> LoadedRecipe | None:
    """Load RECIPE; None where there is none, so that the command's own options make the stage. own: these options, by name.

    Raises UsageError where both are given.
    """
    if recipe is None:
        return None
    given = [name for name, value in own.items() if value]
    if given:
        raise click.UsageError(f"{given[0]} makes a stage of its own; leave out RECIPE, or change it with --set")
    return find_recipe(recipe, overrides)


def limit_option(what: str) -> Callable[[Command], Command]:
    """Add --limit to a command. what: it limits."""
    return click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help=f"A quick look: {what}. Results say so."
    )


def limited(loaded: LoadedRecipe, stages: Sequence[str], limit: int | None) -> LoadedRecipe:
    """Set the limit of some stages of a recipe."""
    if limit is None:
        return loaded
    overrides = [f"stages.{name}.limit={limit}" for name in stages]
    return validate_recipe(loaded.raw, source=loaded.source, folder=loaded.folder, overrides=overrides)


def recipe_of(
    stage: Mapping[str, Any], overrides: Sequence[str], *, command: str, languages: Sequence[str] = ()
) -> LoadedRecipe:
    """Make a recipe of one stage, called like it. command: for messages. languages: of the recipe, where they are not the default."""
    raw: dict[str, Any] = {"name": stage["name"], "stages": [stage]}
    if languages:
        raw["languages"] = list(languages)
    return validate_recipe(raw, source=f"aya {command}", folder=Path.cwd(), overrides=overrides)


def run_folder(loaded: LoadedRecipe, out: Path | None) -> Path:
    """The folder of a run: the one named, or else that of the recipe."""
    return out or Path("runs") / loaded.recipe.name
