"""Which models go into a merge, and which of their layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import PurePath
from typing import Any, NamedTuple

from aya_core.api import PAYLOAD, RecipeError
from aya_recipe.merge.mergekit_config import keys
from aya_recipe.merge.mergekit_config.methods import PARAMETERS

_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_BY_NAME = "tensors are matched by their names here, whatever architecture a model is called"


class Reference(NamedTuple):
    """A model as a configuration names it. adapter: a LoRA for it."""

    path: str
    adapter: str | None = None

    def __str__(self) -> str:
        return self.path if self.adapter is None else f"{self.path}+{self.adapter}"


@dataclass(frozen=True)
class ModelSpec:
    """A model of a merge. name: unlike the other models'. path, adapter: as the configuration writes them."""

    name: str
    path: str
    adapter: str | None = None


class Source(NamedTuple):
    """A model in a slice. first: the first layer that is taken; None takes all of the model."""

    model: Reference
    parameters: Any
    where: str
    first: int | None = None


class Slice(NamedTuple):
    """Models, or equally many layers of each, that become one stretch of the merged model."""

    sources: tuple[Source, ...]
    parameters: Any
    where: str
    length: int | None = None


class Layout(NamedTuple):
    """What a merged model is made of. shared: parameters for all slices, where they stand, the nearest first."""

    slices: tuple[Slice, ...]
    shared: tuple[tuple[Any, str], ...]

    @property
    def models(self) -> tuple[Reference, ...]:
        """Every model, once, in order."""
        return tuple(dict.fromkeys(source.model for piece in self.slices for source in piece.sources))


def read_layout(config: Mapping[str, Any], base: Reference | None, where: str, ignored: keys.Ignored) -> Layout:
    """Read `models`, `slices` or `modules`. A base that is not among `models` joins them, as in mergekit."""
    shared: tuple[tuple[Any, str], ...] = ((config.get("parameters", {}), f"{where}: parameters"),)
    given = [name for name in ("models", "slices", "modules") if name in config]
    if len(given) != 1:
        raise RecipeError(f"{where}: got {' and '.join(given) or 'none'} of models, slices and modules; expected one")
    prefix = f"{where}: "
    if given == ["modules"]:
        module = keys.mapping(
            config["modules"], ("default",), f"{where}: modules", "{default: {slices or models: ...}}"
        )
        prefix = f"{where}: modules.default."
        config = keys.some_mapping(
            module.get("default"),
            ("models", "slices", "parameters"),
            prefix[:-1],
            "a mapping with slices or models",
            ignored,
            elsewhere=PARAMETERS,
        )
        shared = ((config.get("parameters", {}), f"{prefix}parameters"), *shared)
        if ("models" in config) == ("slices" in config):
            raise RecipeError(f"{prefix[:-1]}: expected one of models and slices")
    if "models" in config:
        joined = f"{where}: base_model, which joins the models"
        return Layout((_models(config["models"], base, prefix, joined, ignored),), shared)
    slices = keys.entries(config["slices"], f"{prefix}slices", "{sources: ...}")
    return Layout(tuple(_slice(entry, base, f"{prefix}slices[{n}]", ignored) for n, entry in enumerate(slices)), shared)


def _models(written: Any, base: Reference | None, prefix: str, joined: str, ignored: keys.Ignored) -> Slice:
    sources = []
    for index, entry in enumerate(keys.entries(written, f"{prefix}models", "{model: ...}")):
        place = f"{prefix}models[{index}]"
        known = keys.some_mapping(
            entry, ("model", "parameters"), place, "{model: ..., parameters: ...}", ignored, elsewhere=PARAMETERS
        )
        model = read_reference(known.get("model"), f"{place}.model", ignored)
        sources.append(Source(model, known.get("parameters", {}), place))
    _check_once(sources)
    if base is not None and base not in [source.model for source in sources]:
        sources.append(Source(base, {}, joined))
    return Slice(tuple(sources), {}, f"{prefix}models")


def _slice(written: Any, base: Reference | None, place: str, ignored: keys.Ignored) -> Slice:
    known = keys.some_mapping(
        written,
        ("sources", "base_model", "parameters", "residual_weight"),
        place,
        "{sources: ..., parameters: ...}",
        ignored,
        elsewhere=(*PARAMETERS, "layer_range"),
    )
    if "residual_weight" in known:
        ignored.note(f"{place}.residual_weight", "it changes no result")
    if "base_model" in known and read_reference(known["base_model"], f"{place}.base_model", ignored) != base:
        raise RecipeError(
            f"{place}.base_model: {known['base_model']!r} is not the base_model of the whole merge"
            f"{f' ({base})' if base else ''}; a merge has one base here, so name it at the top"
        )
    sources, lengths = [], []
    for index, entry in enumerate(keys.entries(known.get("sources"), f"{place}.sources", "{model: ...}")):
        inner = f"{place}.sources[{index}]"
        source = keys.some_mapping(
            entry,
            ("model", "layer_range", "parameters"),
            inner,
            "{model: ..., layer_range: ...}",
            ignored,
            elsewhere=PARAMETERS,
        )
        first, end = _layer_range(source.get("layer_range"), f"{inner}.layer_range")
        model = read_reference(source.get("model"), f"{inner}.model", ignored)
        sources.append(Source(model, source.get("parameters", {}), inner, first))
        lengths.append(end - first)
    _check_once(sources)
    if len(set(lengths)) > 1:
        raise RecipeError(f"{place}: its sources have {', '.join(map(str, lengths))} layers; expected equally many")
    return Slice(tuple(sources), known.get("parameters", {}), place, lengths[0])


def _layer_range(written: Any, where: str) -> tuple[int, int]:
    expected = "[first layer, layer after the last]"
    if not isinstance(written, (list, tuple)) or len(written) != 2:
        raise RecipeError(f"{where}: {written!r}, expected {expected}")
    first, end = (keys.whole(layer, where, expected) for layer in written)
    if first > end:
        raise RecipeError(f"{where}: [{first}, {end}] ends before it begins; expected {expected}")
    return first, end


def _check_once(sources: Sequence[Source]) -> None:
    for index, source in enumerate(sources):
        if source.model in [earlier.model for earlier in sources[:index]]:
            raise RecipeError(f"{source.where}: '{source.model}' stands here twice; give it one larger weight instead")


def shared_base(config: Mapping[str, Any], where: str, ignored: keys.Ignored) -> Reference | None:
    """Read `base_model`; where there is none at the top, the one that all slices name."""
    if config.get("base_model") is not None:
        return read_reference(config["base_model"], f"{where}: base_model", ignored)
    slices = config.get("slices")
    if not isinstance(slices, list) or not all(isinstance(piece, Mapping) for piece in slices):
        return None
    named = [piece.get("base_model") for piece in slices]
    if None in named:
        return None
    found = {read_reference(base, f"{where}: slices[{n}].base_model", ignored) for n, base in enumerate(named)}
    return found.pop() if len(found) == 1 else None


def read_reference(written: Any, where: str, ignored: keys.Ignored | None = None) -> Reference:
    """Read `folder`, `folder+lora`, or mergekit's mapping {model: folder or {path: folder}, lora: the same}."""
    if isinstance(written, str):
        parts = written.split("+")
        if len(parts) > 2:
            raise RecipeError(f"{where}: {written!r} has more than one '+'; expected a folder, or folder+lora")
        return Reference(*(_path(part, where) for part in parts))
    if isinstance(written, Mapping) and written.get("override_architecture") is not None and ignored is not None:
        ignored.note(f"{where}.override_architecture", _BY_NAME)
    known = keys.mapping(
        written, ("model", "lora", "override_architecture"), where, "a folder, folder+lora, or {model: ..., lora: ...}"
    )
    adapter = _path(known["lora"], f"{where}.lora") if "lora" in known else None
    return Reference(_path(known.get("model"), f"{where}.model"), adapter)


def _path(written: Any, where: str) -> str:
    if isinstance(written, Mapping):
        known = keys.mapping(written, ("path", "revision"), where, "{path: ...}")
        path, revision = known.get("path"), known.get("revision")
    else:
        path, at, revision = written.partition("@") if isinstance(written, str) else (written, "", None)
        revision = revision if at else None
    if not isinstance(path, str) or not path:
        raise RecipeError(f"{where}: {path!r}, expected a folder or a hub id")
    return path if revision is None else f"{path}@{revision}"


def name_models(models: Iterable[Reference]) -> dict[Reference, ModelSpec]:
    """Name models by the last parts of their paths, artifacts by their steps; equal names get #2, #3."""
    named: dict[Reference, ModelSpec] = {}
    taken = {"value"}  # a word of `MergeParameter`, where models have names
    for model in dict.fromkeys(models):
        short = "+".join(_short(path) for path in model if path is not None)
        name = next(name for name in chain((short,), (f"{short}#{n}" for n in count(2))) if name not in taken)
        taken.add(name)
        named[model] = ModelSpec(name, model.path, model.adapter)
    return named


def _short(path: str) -> str:
    """Give the part of a path that says most: not the fingerprint of an artifact, nor the folder in it."""
    parts = list(PurePath(path).parts)
    if len(parts) > 1 and parts[-1] == PAYLOAD:
        parts.pop()
    if len(parts) > 1 and _FINGERPRINT.fullmatch(parts[-1]):
        parts.pop()
    return parts[-1] if parts else path
