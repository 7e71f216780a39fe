"""Strategies and settings as words of a command: `reward-model,model=./rm` is `{use: reward-model, model: ./rm}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from aya_core import yaml12
from aya_core.artifacts import MANIFEST
from aya_core.errors import RecipeError
from aya_core.explain import SettingsError
from aya_core.kinds import Tracker
from aya_core.registry import Registry
from aya_core.strategies import Strategy

track_option = click.option(
    "--track",
    metavar="SPEC",
    multiple=True,
    help="Send measures to a tracker as well: tensorboard, wandb,project=mine.",
)


def strategy(text: str, option: str) -> dict[str, Any]:
    """Read `use,key=value,...`, or a YAML mapping in braces."""
    if text.lstrip().startswith("{"):
        read = yaml12.parse(text, option)
        if not isinstance(read, dict):
            raise RecipeError(f"{option} {text}: expected a mapping such as {{use: name, key: value}}")
        return read
    use, *words = re.split(r",(?![^\[{]*[\]}])", text)  # not inside brackets
    return {"use": use.strip(), **settings(words, option)}


def settings(words: list[str], option: str) -> dict[str, Any]:
    """Read `key=value` words; values are YAML, and dots make mappings."""
    read: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"{option}: '{word}' is not a setting; expected key=value, or a YAML mapping in braces")
        *parents, last = key.strip().split(".")
        here = read
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise RecipeError(f"{option}: '{word}': '{parent}' has a value already; give one or the other")
        here[last] = yaml12.parse(value, f"{option} {key}")
    return read


USES = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
"""The data set that reads files with each ending."""


def _endings(folder: Path, pattern: str) -> set[str]:
    return {file.suffix for file in folder.glob(pattern) if file.is_file()} & set(USES)


def dataset(text: str, option: str) -> dict[str, Any]:
    """Read a data set: a JSONL, Parquet, CSV or TSV file, or a strategy."""
    ending = Path(text).suffix
    if Path(text).is_dir():
        endings = _endings(Path(text), "*") or _endings(Path(text), "*/*")  # a folder for each language, as on the hub
        if len(endings) != 1:
            raise RecipeError(f"{option} {text}: a folder; expected {' or '.join(USES)} files in it, of one kind")
        return {"use": USES[endings.pop()], "path": text}
    if ending in USES and "," not in text and not text.lstrip().startswith("{"):
        return {"use": USES[ending], "path": text}
    return strategy(text, option)


def rows(text: str, option: str) -> dict[str, Any] | str:
    """Read a data set, or the folder of rows that a run made."""
    folder = Path(text)
    if (folder / MANIFEST).is_file() or (folder.parent / MANIFEST).is_file():
        return str(folder.resolve())
    return dataset(text, option)


def model(text: str) -> str:
    """Read a model; a folder needs no slash in its name."""
    return str(Path(text).resolve()) if Path(text).is_dir() else text


def named(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """Read `name=strategy`."""
    name, equals, rest = text.partition("=")
    if not equals or "," in name:
        raise RecipeError(f"{option} {text}: expected name=strategy, such as ana=transformers,model=./ana")
    return name.strip(), strategy(rest, option)


def trackers(texts: Sequence[str], registry: Registry) -> list[Strategy[Tracker]]:
    """Read the trackers of `--track`."""
    try:
        return [registry.validate("tracker", strategy(text, "--track")) for text in texts]
    except SettingsError as error:
        raise RecipeError(f"--track: {error}") from None
