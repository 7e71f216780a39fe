"""The JSON Schema of recipes, for editors: the strategies of the installed plugins are part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from aya_core.contract.kinds import KINDS
from aya_core.contract.strategies import BESIDE_KEY, KIND_KEY, OF_EACH_MODEL
from aya_core.planning.recipe import Recipe
from aya_core.planning.registry import Registry


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """Make the schema (draft 2020-12). Each kind is a definition that every `use:` of that kind refers to."""
    strategies = [s for kind in KINDS for s in registry.strategies[kind].values()]
    models: list[type[BaseModel]] = [Recipe, *registry.stages.values(), *strategies]
    references, schema = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    definitions = schema["$defs"]
    for kind in KINDS:
        definitions[kind] = {"anyOf": []}
        for name, strategy in registry.strategies[kind].items():
            body = dict(definitions[_key(references[strategy, "validation"])])
            properties = {
                "use": {"const": name, "description": body.get("description", "")},
                **body.get("properties", {}),
            }
            body |= {"properties": properties, "required": ["use", *body.get("required", [])]}
            definitions[kind]["anyOf"].append(body)
    recipe = dict(definitions[_key(references[Recipe, "validation"])])
    stages = []
    for name, stage in registry.stages.items():
        body = definitions[_key(references[stage, "validation"])]
        body["properties"]["do"] = {"const": name, "description": body.get("description", "")}
        stages.append(references[stage, "validation"])
    recipe["properties"] = {
        **recipe["properties"],
        "stages": {"type": "array", "minItems": 1, "items": {"anyOf": stages}},
    }
    definitions[OF_EACH_MODEL] = {
        "anyOf": [
            {**teacher, "required": [key for key in teacher["required"] if key != "model"]}
            for teacher in definitions["teacher"]["anyOf"]
        ]
    }
    for kind, beside in list(_shorts({**recipe, "$defs": definitions})):
        definitions[_short(kind, beside)] = {
            "anyOf": [
                {**strategy, "properties": {**strategy["properties"], **dict.fromkeys(beside, True)}}
                for strategy in definitions[kind]["anyOf"]
            ]
        }
    schema = _refer({**recipe, "$defs": definitions})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _short(kind: str, beside: Sequence[str]) -> str:
    """The definition of strategies of a kind that have settings of a stage beside their own."""
    return "-".join((kind, "with", *beside))


def _shorts(schema: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find what is short for a strategy and settings beside it."""
    if isinstance(schema, list):
        for part in schema:
            yield from _shorts(part)
    elif isinstance(schema, dict):
        if BESIDE_KEY in schema:
            yield schema[KIND_KEY], tuple(schema[BESIDE_KEY])
        for part in schema.values():
            yield from _shorts(part)


def _refer(schema: Any) -> Any:
    """Replace what stands for all strategies of a kind by a reference to their definition."""
    if isinstance(schema, list):
        return [_refer(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _refer(value) for key, value in schema.items() if key not in (KIND_KEY, BESIDE_KEY)}
    if KIND_KEY in schema:
        kind = schema[KIND_KEY]
        written["$ref"] = f"#/$defs/{_short(kind, schema[BESIDE_KEY]) if BESIDE_KEY in schema else kind}"
        written.pop("default", None)
    return written


def _key(reference: Any) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]
