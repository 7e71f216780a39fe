"""Read a mergekit configuration as one of our merges, or say which part of it we cannot honour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aya_core.api import LayerSlice, MergeParameter, RecipeError, Vocabulary, did_you_mean
from aya_recipe.merge.mergekit_config import keys
from aya_recipe.merge.mergekit_config.layout import (
    Layout,
    ModelSpec,
    Reference,
    name_models,
    read_layout,
    shared_base,
)
from aya_recipe.merge.mergekit_config.methods import METHODS, PARAMETERS, Method
from aya_recipe.merge.mergekit_config.parameters import Parameters
from aya_recipe.merge.mergekit_config.tokens import read_chat_template, read_vocabulary

__all__ = ["MergeConfig", "ModelSpec", "read_merge_config"]

_KEYS = (
    "merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "tokenizer",
    "tokenizer_source", "chat_template",
)  # fmt: skip
_DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True)
class MergeConfig:
    """A merge as our stages say it.

    use, settings: the strategy; a setting may be `MergeParameter`. models: those that are merged, names differ. weights: by the
    names of models where these differ. base: where differences start, or the model whose files go along; it may be one of
    the models. dtype: stored as; None keeps the models'. parts: which layers are taken from where, the base's last; None
    takes all. vocabulary, chat_template: as for `MergeJob`; the template may be `auto`. Folders, of models, adapters and
    a tokenizer, are as the configuration writes them. notes: what is ignored, a sentence each.
    """

    use: str
    settings: dict[str, Any]
    models: tuple[ModelSpec, ...]
    weights: MergeParameter = MergeParameter(1.0)  # noqa: RUF009 (immutable)
    base: ModelSpec | None = None
    dtype: str | None = None
    slices: tuple[LayerSlice, ...] | None = None
    vocabulary: Vocabulary = Vocabulary()  # noqa: RUF009 (immutable)
    chat_template: str | None = None
    notes: tuple[str, ...] = ()


def read_merge_config(config: Mapping[str, Any], where: str = "merge config") -> MergeConfig:
    """Read the content of a mergekit YAML file, with every method of mergekit 0.1.5.

    Parameters left out have mergekit's defaults, not ours, and are looked up as mergekit does (`merge_config.parameters`),
    so that the same file means the same merge. `int8_mask` is about mergekit's memory and changes no result. mergekit
    computes in `dtype`; we compute in float32 and store in `out_dtype`, or `dtype`.

    What mergekit passes over, we pass over with a note: keys that it does not know, and parameters that a method does not take
    where they stand. One that looks like a misspelled other is refused.

    config: the parsed file. where: its name, for messages.

    Raises RecipeError for what is misspelled or not supported, and for what mergekit would refuse.
    """
    ignored = keys.Ignored()
    known = keys.some_mapping(
        config, _KEYS, where, "a mapping with merge_method and models", ignored, elsewhere=PARAMETERS
    )
    method_name = known.get("merge_method")
    if not isinstance(method_name, str) or method_name not in METHODS:
        raise RecipeError(f"{where}: no merge_method {method_name!r}; {did_you_mean(str(method_name), METHODS)}")
    method = METHODS[method_name]
    base = shared_base(known, where, ignored)
    layout = read_layout(known, base, where, ignored)
    parameters = Parameters(layout, method, method_name, base, ignored)
    _check_inputs(layout, method, method_name, base, where)

    specs = name_models((*layout.models, base) if base else layout.models)
    order = [model for model in layout.models if model != base or method.base == "input"]
    last = base
    if method.base == "first" and base is not None:
        order, last = [base, *order], None
    settings, weights = _settings(parameters, method_name, base, {model: spec.name for model, spec in specs.items()})
    beside = base is not None and all(base in [source.model for source in piece.sources] for piece in layout.slices)
    return MergeConfig(
        use=method.use,
        settings=settings,
        models=tuple(specs[model] for model in order),
        weights=weights,
        base=specs[last] if last else None,
        dtype=_dtype(known, where),
        slices=_slices(layout, order, last),
        vocabulary=read_vocabulary(known, specs, base=beside, where=where),
        chat_template=read_chat_template(known, where),
        notes=ignored.notes,
    )


def _check_inputs(layout: Layout, method: Method, method_name: str, base: Reference | None, where: str) -> None:
    """Count the models of each slice, and look for the base where one is needed."""
    if method.base in ("needed", "first") and base is None:
        raise RecipeError(f"{where}: {method_name} needs base_model")
    least, most = method.inputs
    for piece in layout.slices:
        models = [source.model for source in piece.sources]
        if method.base != "input" and base is not None:
            if base not in models:
                raise RecipeError(
                    f"{piece.where}: base_model '{base}' is not among its sources; add the layers of it that correspond"
                )
            models.remove(base)
        if not least <= len(models) <= (len(models) if most is None else most):
            expected = f"exactly {least}" if least == most else f"at least {least}"
            beside = " beside the base" if method.base != "input" and base is not None else ""
            raise RecipeError(
                f"{piece.where}: {method_name} takes {expected} model{'s' * (least > 1)}{beside}, "
                f"got {len(models)}{': ' if models else ''}{', '.join(map(str, models))}"
            )


def _settings(
    parameters: Parameters, method_name: str, base: Reference | None, names: Mapping[Reference, str]
) -> tuple[dict[str, Any], MergeParameter]:
    """Give the strategy's settings, and the weights."""
    method = parameters.method
    settings: dict[str, Any] = dict(method.fixed)
    for parameter in method.parameters:
        value = parameters.value(parameter, names)
        if parameter.setting is not None:
            settings[parameter.setting] = parameter.written_as.get(value, value)
    weights = MergeParameter(settings.pop("weight", 1.0))
    if method.use == "mergekit":
        plain = {
            name: value.written if isinstance(value, MergeParameter) else value for name, value in settings.items()
        }
        settings = {"method": method_name, "parameters": plain}
    if method.base == "optional":
        settings["from_base"] = base is not None
    return settings, weights


def _slices(layout: Layout, order: list[Reference], base: Reference | None) -> tuple[LayerSlice, ...] | None:
    slices = []
    for piece in layout.slices:
        if piece.length is None:
            return None
        first = {source.model: source.first for source in piece.sources}
        models = [*order, base] if base is not None else order
        slices.append(LayerSlice(tuple(first.get(model) for model in models), piece.length))
    return tuple(slices)


def _dtype(config: Mapping[str, Any], where: str) -> str | None:
    found = None
    for key in ("dtype", "out_dtype"):
        if key in config:
            found = str(config[key]).removeprefix("torch.")
            if found not in _DTYPES:
                raise RecipeError(f"{where}: {key}: {config[key]!r}; {did_you_mean(found, _DTYPES)}")
    return found
