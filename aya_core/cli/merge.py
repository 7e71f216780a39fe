"""`aya merge`: one checkpoint of several, without a recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from aya_core import yaml12
from aya_core.errors import DataError, RecipeError
from aya_core.explain import SettingsError
from aya_core.kinds import MergeJob
from aya_core.merge_config import read_merge_config
from aya_core.registry import Registry
from aya_core.stages import merging


@click.command(name="merge")
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--seed", default=0, show_default=True, help="Seed of merges that draw at random.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
def command(config: Path, out: Path, seed: int, as_json: bool) -> None:
    """Merge checkpoints as the mergekit-style YAML file CONFIG says, into the new folder OUT.

    Paths in CONFIG are relative to it. OUT appears only when it is whole.
    """
    if not config.is_file():
        raise RecipeError(f"{config}: no such file; expected a merge configuration in YAML")
    if out.exists():
        raise DataError(f"{out}: exists already; choose another folder, or remove it")
    read = read_merge_config(yaml12.parse(config.read_text(encoding="utf-8"), str(config)), str(config))
    registry = Registry()
    try:
        strategy = registry.validate("merge", {"use": read.use, **read.settings})
    except SettingsError as error:
        raise RecipeError(f"{config}: {error}") from None
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        account = merging.run(
            registry,
            strategy,
            MergeJob(
                models=tuple(_folder(model, config) for model in read.models),
                weights=tuple(read.weights),
                out=partial,
                seed=seed,
                base=_folder(read.base, config) if read.base else None,
                dtype=read.dtype,
            ),
        )
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _show(account, out, as_json)


def _folder(model: str, config: Path) -> Path:
    folder = merging.checkpoint_folder(str(config.parent / Path(model).expanduser()))
    if not folder.is_dir():
        raise RecipeError(f"{config}: no folder {folder}; expected a checkpoint there (download hub models first)")
    return folder


def _show(account: Any, out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"out": str(out), **account}))
        return
    click.echo(f"{out}: " + ", ".join(f"{k} {v}" for k, v in account.items() if isinstance(v, (int, float, str))))
