"""Data sets, rows, models, named strategies and stages as words of a command: `prompts.jsonl` is `{use: jsonl, path: prompts.jsonl}`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from aya_core.api import (
    MANIFEST,
    LoadedRecipe,
    RecipeError,
    Stage,
    check_language,
    did_you_mean,
    ending_of,
    is_saved,
    read_strategy,
    yaml12,
)

USES = {".jsonl": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
"""The data set that reads files with each ending, compressed or not."""

SAVED = "save-to-disk"
"""The data set that reads what `datasets.save_to_disk` wrote."""


def _uses(folder: Path, pattern: str) -> set[str]:
    endings = {ending_of(file) for file in folder.glob(pattern) if file.is_file()}
    return {USES[ending] for ending in endings & USES.keys()}


def read_dataset(text: str, option: str) -> dict[str, Any]:
    """Read a data set: a file of JSONL, JSON, Parquet, CSV or TSV, a folder of such or a saved data set, or a strategy."""
    path = Path(text)
    if path.is_dir():
        if is_saved(path) or any(map(is_saved, path.iterdir())):
            return {"use": SAVED, "path": text}
        uses = _uses(path, "*") or _uses(path, "*/*")  # a folder for each language, as on the hub
        if len(uses) != 1:
            raise RecipeError(f"{option} {text}: a folder; expected {' or '.join(USES)} files in it, of one kind")
        return {"use": uses.pop(), "path": text}
    ending = ending_of(path)
    if ending in USES and "," not in text and not text.lstrip().startswith("{"):
        return {"use": USES[ending], "path": text}
    return read_strategy(text, option)


def read_language(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Read a language, as a code or by its English name, for an option of click."""
    try:
        return None if text is None else check_language(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def read_languages(text: str | None, option: str) -> dict[str, str]:
    """Read a map of languages by how data writes them: '{Farsi-IR: fa}'."""
    found = {} if text is None else yaml12.parse(text, option)
    if not isinstance(found, dict):
        raise RecipeError(f"{option} {text}: expected a map, such as '{{Farsi-IR: fa}}'")
    try:
        return {str(written): check_language(str(code)) for written, code in found.items()}
    except ValueError as error:
        raise RecipeError(f"{option}: {error}") from None


def read_row_source(text: str, option: str) -> dict[str, Any] | str:
    """Read a data set, or the folder of rows that a run made."""
    folder = Path(text)
    if (folder / MANIFEST).is_file() or (folder.parent / MANIFEST).is_file():
        return str(folder.resolve())
    return read_dataset(text, option)


def read_model(text: str) -> str:
    """Read a model; a folder needs no slash in its name. It keeps the name that was typed, be it that of a link."""
    return os.path.abspath(text) if Path(text).is_dir() else text


def read_named(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """Read `name=strategy`."""
    name, equals, rest = text.partition("=")
    if not equals or "," in name:
        raise RecipeError(f"{option} {text}: expected name=strategy, such as ana=transformers,model=./ana")
    return name.strip(), read_strategy(rest, option)


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


def by_name(named: Iterable[tuple[str, dict[str, Any]]], option: str) -> dict[str, dict[str, Any]]:
    """Put named strategies into a mapping. Raises RecipeError where two have the same name."""
    found: dict[str, dict[str, Any]] = {}
    for name, strategy in named:
        if name in found:
            raise RecipeError(f"{option}: a name is given twice, '{name}'; tell them apart as NAME=SPEC")
        found[name] = strategy
    return found
