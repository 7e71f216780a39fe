"""`aya merge --extract-lora`: the difference between two models as an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.api import ExtractingEngine, LoraJob, MergeInput, PluginError, RecipeError, Registry, hub_model
from aya_recipe.merge import merging
from aya_recipe.merge.finding import find_model
from aya_recipe.merge.mergekit_config.layout import name_models, read_reference
from aya_recipe.merge.place import OutputPlace

_HERE = Path("--extract-lora")
"""Stands for the file that names the models, in messages; paths are relative to the folder of the command."""


def extract(models: Sequence[Path], place: OutputPlace, rank: int, threshold: float, device: str) -> Mapping[str, Any]:
    """Make an adapter of what the first model has beyond the second, its base, and return the account. Raises AyaError."""
    if len(models) != 2:
        raise RecipeError(f"--extract-lora: got {len(models)} models; expected aya merge --extract-lora MODEL BASE OUT")
    references = [read_reference(str(model), str(_HERE)) for model in models]
    if references[0] == references[1]:
        raise RecipeError(
            f"--extract-lora: '{references[0]}' is given as model and as base; there is nothing to extract"
        )
    names = name_models(references)
    model, base = (find_model(names[reference], _HERE) for reference in references)
    if base.adapter is not None:
        raise RecipeError(
            f"--extract-lora: the base '{references[1]}' has a LoRA; merge the two first, and name the result"
        )
    engine = merging.engine(Registry())
    if not isinstance(engine, ExtractingEngine):
        raise PluginError(f"merge engine '{type(engine).__name__}' makes no adapters; unblock 'aya-merges'")
    with place.opened():
        account = engine.extract(
            LoraJob(model, base, _name(references[1].path, base), place.made, rank, threshold, device)
        )
        place.finish()
    return account


def _name(written: str, base: MergeInput) -> str:
    """How an adapter names its base: by the hub id where it was given by one, else by the whole path of its folder."""
    hub = None if Path(written).expanduser().exists() else hub_model(written, without_owner=True)
    return str(base.folder.resolve()) if hub is None else hub.id
