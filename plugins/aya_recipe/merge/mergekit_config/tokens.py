"""The tokenizer and the chat template that a configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from aya_core.api import RecipeError, Vocabulary
from aya_recipe.merge.mergekit_config import keys
from aya_recipe.merge.mergekit_config.layout import ModelSpec, Reference, read_reference

_NAME = re.compile(r"[\w.-]{1,64}")
_WORDS = ("same", "base", "union")
_EMBEDDING = ("kind", "model", "token", "token_id")


def read_vocabulary(
    config: Mapping[str, Any], models: Mapping[Reference, ModelSpec], *, base: bool, where: str
) -> Vocabulary:
    """Read `tokenizer_source` or `tokenizer`; without either, all models must agree.

    A token that a model lacks gets mergekit's row: the base's, or the mean over the models that have it where the base
    lacks it, too. base: whether each tensor is merged with a base's beside it.
    """
    missing: Literal["average", "base"] = "base" if base else "average"
    if "tokenizer" not in config:
        if "tokenizer_source" not in config:
            return Vocabulary()
        return Vocabulary(
            source=_source(config["tokenizer_source"], models, f"{where}: tokenizer_source"), missing=missing
        )
    if "tokenizer_source" in config:
        raise RecipeError(f"{where}: got tokenizer and tokenizer_source; expected one, as tokenizer.source")
    place = f"{where}: tokenizer"
    known = keys.mapping(
        config["tokenizer"], ("source", "tokens", "pad_to_multiple_of"), place, "{source: ..., tokens: ...}"
    )
    padding = known.get("pad_to_multiple_of")
    if padding is not None:
        padding = keys.whole(padding, f"{place}.pad_to_multiple_of", "a whole number, 1 or more")
        if not padding:
            raise RecipeError(f"{place}.pad_to_multiple_of: 0, expected a whole number, 1 or more")
    tokens = known.get("tokens", {})
    if not isinstance(tokens, Mapping):
        raise RecipeError(f"{place}.tokens: {tokens!r}, expected a mapping from tokens to {{source: ..., force: ...}}")
    return Vocabulary(
        source=_source(known.get("source", "union"), models, f"{place}.source"),
        missing=missing,
        tokens={str(token): _token(of, models, f"{place}.tokens.{token}") for token, of in tokens.items()},
        pad_to_multiple_of=padding,
    )


def _source(written: Any, models: Mapping[Reference, ModelSpec], where: str) -> str:
    """Read union, base, or a model: by its name where it is one of those merged, by its folder where it is not."""
    if written in ("union", "base"):
        return str(written)
    model = read_reference(written, where)
    if model in models and models[model].name not in _WORDS:
        return models[model].name
    if model.adapter is not None:
        raise RecipeError(f"{where}: '{model}' is none of the models merged; name the model without its LoRA")
    if model.path in _WORDS:
        raise RecipeError(
            f"{where}: {model.path!r}, expected union, base or a folder; write ./{model.path} for a folder"
        )
    return model.path


def _token(written: Any, models: Mapping[Reference, ModelSpec], where: str) -> dict[str, Any]:
    known = keys.mapping(written, ("source", "force"), where, "{source: ..., force: true or false}")
    if "source" not in known:
        raise RecipeError(f"{where}: no source; expected a model, {{kind: zero}} or {{kind: model_token, ...}}")
    force = known.get("force", False)
    if not isinstance(force, bool):
        raise RecipeError(f"{where}.force: {force!r}, expected true or false")
    return {"source": _embedding(known["source"], models, f"{where}.source"), "force": force}


def _embedding(written: Any, models: Mapping[Reference, ModelSpec], where: str) -> Any:
    if not isinstance(written, Mapping) or "kind" not in written:
        return _name(written, models, where)
    known = keys.mapping(written, _EMBEDDING, where, "{kind: zero} or {kind: model_token, ...}")
    if known == {"kind": "zero"}:
        return dict(known)
    one_token = ("token" in known) != ("token_id" in known)
    if known.get("kind") != "model_token" or "model" not in known or not one_token:
        raise RecipeError(
            f"{where}: {dict(written)!r}, expected {{kind: zero}}, or {{kind: model_token, model: ...}} with token or token_id"
        )
    read = {"kind": "model_token", "model": _name(known["model"], models, f"{where}.model")}
    if "token" in known:
        return {**read, "token": str(known["token"])}
    return {**read, "token_id": keys.whole(known["token_id"], f"{where}.token_id")}


def _name(written: Any, models: Mapping[Reference, ModelSpec], where: str) -> str:
    model = read_reference(written, where)
    if model not in models:
        raise RecipeError(f"{where}: '{model}' is none of the models merged; expected {', '.join(map(str, models))}")
    return models[model].name


def read_chat_template(config: Mapping[str, Any], where: str) -> str | None:
    """Read `chat_template`: the template itself, the name of one, or `auto`, the most common among the models."""
    written = config.get("chat_template")
    if written is None or (isinstance(written, str) and ("{" in written or _NAME.fullmatch(written))):
        return written
    raise RecipeError(
        f"{where}: chat_template: {written!r}, expected the text of a Jinja template, a name such as chatml, or auto"
    )
