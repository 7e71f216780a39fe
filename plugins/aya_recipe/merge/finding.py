"""Where the models of a merge lie: in a folder, in an artifact, or on the hub."""

from __future__ import annotations

from pathlib import Path

from aya_core.api import MergeInput, RecipeError, hub_model, model_folder, say
from aya_recipe.merge import merging
from aya_recipe.merge.mergekit_config import ModelSpec


def find_model(model: ModelSpec, config: Path) -> MergeInput:
    """Find a model and its adapter. config: the file that names them. Raises RecipeError."""
    adapter = find_folder(model.adapter, config) if model.adapter else None
    return MergeInput(model.name, find_folder(model.path, config), adapter)


def find_folder(path: str, config: Path) -> Path:
    """Where a model of a configuration lies: a folder, or those of a hub id's files. Raises RecipeError where there is neither."""
    folder = _folder(path, config)
    if folder.is_dir():
        return folder
    bare, at, revision = path.rpartition("@")
    if at and (without := _folder(bare, config)).is_dir():
        say(f"{config}: '{path}' is the folder {without}; a folder has no revisions, '{revision}' is ignored", err=True)
        return without
    if path.startswith((".", "~")) or hub_model(path, without_owner=True) is None:
        raise RecipeError(
            f"{config}: no folder {folder}; expected a checkpoint there, or a hub id: owner/name or owner/name@revision"
        )
    return model_folder(path, without_owner=True)


def _folder(path: str, config: Path) -> Path:
    try:
        return merging.checkpoint_folder(str(config.parent / Path(path).expanduser()))
    except (RuntimeError, ValueError) as error:  # the home of a user whom nobody knows; a null byte
        raise RecipeError(
            f"{config}: {path!r:.200}: no path can be this ({error}); expected that of a folder"
        ) from None
