"""A train stage from the options of a command, for `aya train` and `aya show-tokens`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aya_core.api import LANGUAGES, UNKNOWN_LANGUAGE, LoadedRecipe, read_strategy
from aya_recipe.options.alone import recipe_of
from aya_recipe.options.words import read_model, read_row_source

NAME = "train"
"""Of the stage and its recipe."""

Command = TypeVar("Command", bound=Callable[..., Any])


def stage_options(command: Command) -> Command:
    """Add the options that make a stage without a recipe."""
    for option in (
        click.option("--trainer", metavar="SPEC", help="How to train: sft, preference, ..."),
        click.option(
            "--data", metavar="FILE|SPEC", help="Rows to train on: JSONL, Parquet, a data set, or rows of a run."
        ),
        click.option("--start", metavar="MODEL", help="The checkpoint to start from: a folder, or a hub id."),
    ):
        command = option(command)
    return command


def stage_from_options(
    start: str | None, data: str | None, trainer: str | None, overrides: Sequence[str], *, command: str,
    objective: str | None = None, reference: str | None = None, validation: str | None = None,
) -> LoadedRecipe:  # fmt: skip
    """Make a recipe of one train stage; rows that do not say their language are trained on, too. command: for messages."""
    if trainer is None or data is None:
        missing = "--trainer" if trainer is None else "--data"
        raise click.UsageError(f"{missing} is missing; expected a RECIPE, or --start, --data and --trainer")
    stage: dict[str, Any] = {
        "name": NAME,
        "do": "train",
        "trainer": read_strategy(trainer, "--trainer"),
        "data": read_row_source(data, "--data"),
    }
    models = {"start": start, "reference": reference}
    stage |= {name: read_model(text) for name, text in models.items() if text is not None}
    if objective is not None:
        stage["objective"] = read_strategy(objective, "--objective")
    if validation is not None:
        stage["validation"] = read_row_source(validation, "--validation")
    return recipe_of(stage, overrides, command=command, languages=(*LANGUAGES, UNKNOWN_LANGUAGE))
