"""Read a mergekit configuration as one of our merges, or say which part of it we cannot honour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aya_core.errors import RecipeError, did_you_mean


@dataclass(frozen=True)
class MergeConfig:
    """A merge as our stages say it.

    use, settings: the strategy. base: where differences start, or the model whose files go along.
    """

    use: str
    settings: dict[str, Any]
    models: list[str]
    weights: list[float]
    base: str | None
    dtype: str | None


@dataclass(frozen=True)
class _Method:
    """One of mergekit's methods: our strategy for it, and its parameters, with mergekit's defaults."""

    use: str
    shared: Mapping[str, Any]
    per_model: tuple[str, ...]


_METHODS = {
    "linear": _Method("weighted", {"normalize": True}, ("weight",)),
    "slerp": _Method("slerp", {"t": None}, ()),
    "ties": _Method(
        "ties",
        {"normalize": True, "rescale": False, "lambda": 1.0, "int8_mask": False},
        ("weight", "density"),
    ),
    "dare_ties": _Method(
        "dare-ties",
        {"normalize": False, "rescale": True, "lambda": 1.0, "int8_mask": False},
        ("weight", "density"),
    ),
}
_KEYS = ("merge_method", "models", "base_model", "parameters", "dtype", "out_dtype", "tokenizer_source")
_NOT_YET = ("slices", "modules", "tokenizer", "chat_template")
_BOOLEANS = ("normalize", "rescale", "int8_mask")


def read_merge_config(config: Mapping[str, Any], where: str = "merge config") -> MergeConfig:
    """Read the content of a mergekit YAML file for `linear`, `slerp`, `ties` or `dare_ties`.

    Parameters left out have mergekit's defaults, not ours (density 1; `dare_ties` sums and rescales by L1
    norm), so that the same file means the same merge; a weight left out is 1. `int8_mask` is about mergekit's
    memory and changes no result. mergekit computes in `dtype`; we compute in float32 and store in
    `out_dtype`, or `dtype`.

    config: the parsed file. where: its name, for messages.

    Raises RecipeError for a key that is unknown, misspelt or not supported: gradients and filters (lists of
    values), slices, LoRA models, tokenizers other than the base's, densities that differ between models.
    """
    if not isinstance(config, Mapping):
        raise RecipeError(f"{where}: expected a mapping with merge_method and models")
    _check_keys(config, _KEYS, _NOT_YET, where)
    method_name = config.get("merge_method")
    if not isinstance(method_name, str) or method_name not in _METHODS:
        raise RecipeError(
            f"{where}: merge_method {method_name!r} is not supported; " + did_you_mean(str(method_name), _METHODS)
        )
    if config.get("tokenizer_source", "base") != "base":
        raise RecipeError(
            f"{where}: tokenizer_source {config['tokenizer_source']!r} is not supported yet; "
            "the merge gets the tokenizer of the base, or of the first model"
        )
    method = _METHODS[method_name]
    base = _model_name(config["base_model"], f"{where}: base_model") if config.get("base_model") else None
    shared = _parameters(config, (*method.shared, *method.per_model), method_name, where)
    models, own = _models(config, method, method_name, base, where)
    if method.use == "slerp":
        models = _ends_of_the_arc(models, base, where)
        own, base = [{} for _ in models], None
    elif method.use != "weighted" and base is None:
        raise RecipeError(f"{where}: {method_name} needs base_model")
    weights = [
        _number({**shared, **mine}.get("weight", 1.0), f"{where}: weight of '{model}'")
        for model, mine in zip(models, own, strict=True)
    ]
    settings = _settings(method, method_name, shared, own, where)
    dtype = config.get("out_dtype") or config.get("dtype")
    return MergeConfig(method.use, settings, models, weights, base, dtype)


def _models(
    config: Mapping[str, Any], method: _Method, method_name: str, base: str | None, where: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """List the models to merge and their own parameters; a base that differences start from is no model."""
    entries = config.get("models")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise RecipeError(f"{where}: models: expected a list of at least one {{model: ...}}")
    models, own = [], []
    for index, entry in enumerate(entries):
        place = f"{where}: models[{index}]"
        if not isinstance(entry, Mapping) or "model" not in entry:
            raise RecipeError(f"{place}: expected {{model: ..., parameters: ...}}")
        _check_keys(entry, ("model", "parameters"), (), place)
        model = _model_name(entry["model"], f"{place}.model")
        parameters = _parameters(entry, method.per_model, method_name, place)
        if model == base and method.use in ("ties", "dare-ties"):
            if parameters:
                raise RecipeError(f"{place}: the base has no {next(iter(parameters))}; its differences are zero")
            continue
        models.append(model)
        own.append(parameters)
    if not models:
        raise RecipeError(f"{where}: models: nothing to merge into the base; list at least one other model")
    return models, own


def _settings(
    method: _Method, method_name: str, shared: Mapping[str, Any], own: Sequence[Mapping[str, Any]], where: str
) -> dict[str, Any]:
    values = {**method.shared, **{name: value for name, value in shared.items() if name in method.shared}}
    for name in _BOOLEANS:
        if name in values and not isinstance(values[name], bool):
            raise RecipeError(f"{where}: parameters.{name}: {values[name]!r}, expected true or false")
    settings: dict[str, Any] = {}
    if "t" in values:
        if values["t"] is None:
            raise RecipeError(f"{where}: {method_name} needs parameters.t, from 0 (base_model) to 1")
        settings["t"] = _number(values["t"], f"{where}: parameters.t")
    if "normalize" in values:
        settings["normalize"] = values["normalize"]
    if "lambda" in values:
        settings["lambda_"] = _number(values["lambda"], f"{where}: parameters.lambda")
    if "density" in method.per_model:
        settings["density"] = _density(shared, own, where)
    if "rescale" in values:
        if values["rescale"] != method.shared["rescale"]:
            raise RecipeError(
                f"{where}: parameters.rescale: {str(values['rescale']).lower()} is not supported with {method_name}"
            )
        if values["rescale"]:
            settings["rescale"] = "l1"
    return settings


def _density(shared: Mapping[str, Any], own: Sequence[Mapping[str, Any]], where: str) -> float:
    densities = {_number({**shared, **mine}.get("density", 1.0), f"{where}: density") for mine in own}
    if len(densities) > 1:
        raise RecipeError(f"{where}: densities {sorted(densities)} differ between models; not supported yet, use one")
    return densities.pop()


def _ends_of_the_arc(models: Sequence[str], base: str | None, where: str) -> list[str]:
    """Put the base first, where t = 0. It may be listed among the two models or left out of the list."""
    others = [model for model in models if model != base]
    if base is None or len(others) != 1 or len(models) > 2:
        raise RecipeError(
            f"{where}: slerp takes base_model and exactly one other model, got base {base!r} and {others}"
        )
    return [base, *others]


def _parameters(owner: Mapping[str, Any], known: Iterable[str], method_name: str, where: str) -> dict[str, Any]:
    """Check the names of parameters, and that each has one value. Null counts as left out, as in mergekit."""
    parameters = owner.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise RecipeError(f"{where}: parameters: expected a mapping")
    names = tuple(known)
    for name, value in parameters.items():
        if name not in names:
            hint = did_you_mean(str(name), names) if names else "it has none for single models"
            raise RecipeError(f"{where}: parameters.{name}: {method_name} has no such parameter here; {hint}")
        if isinstance(value, (list, dict)):
            raise RecipeError(
                f"{where}: parameters.{name}: gradients and filters are not supported yet; "
                "give one value for all layers"
            )
    return {name: value for name, value in parameters.items() if value is not None}


def _check_keys(config: Mapping[str, Any], known: Sequence[str], not_yet: Sequence[str], where: str) -> None:
    for key in config:
        if key in not_yet:
            raise RecipeError(f"{where}: '{key}' is not supported yet; remove it, or use mergekit for this merge")
        if key not in known:
            raise RecipeError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), known)}")


def _model_name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise RecipeError(f"{where}: {value!r}, expected a folder or a hub id")
    if "+" in value:
        raise RecipeError(f"{where}: {value!r}: a LoRA after '+' is not supported; merge it into its model first")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecipeError(f"{where}: {value!r}, expected a finite number")
    return float(value)
