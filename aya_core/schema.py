"""The JSON Schema of recipes, for editors: the strategies of the installed plugins are part of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from aya_core.kinds import KINDS
from aya_core.recipe import Recipe
from aya_core.registry import Registry
from aya_core.stage_settings import STAGES, TEACHING
from aya_core.strategies import KIND_KEY, OF_EACH_MODEL


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """Make the schema (draft 2020-12). Each kind is a definition that every `use:` of that kind refers to."""
    strategies = [s for kind in KINDS for s in registry.strategies[kind].values()]
    models: list[type[BaseModel]] = [Recipe, *STAGES.values(), *strategies]
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
            if kind == "teacher":  # an arbitrage stage sets these beside the teacher's own settings
                properties |= {key: True for key in TEACHING if key not in properties}
            body |= {"properties": properties, "required": ["use", *body.get("required", [])]}
            definitions[kind]["anyOf"].append(body)
    recipe = dict(definitions[_key(references[Recipe, "validation"])])
    stages = [references[stage, "validation"] for stage in STAGES.values()]
    recipe["properties"] = {
        **recipe["properties"],
        "stages": {"type": "array", "minItems": 1, "items": {"anyOf": stages}},
    }
    definitions["Teaching"] = {"anyOf": [definitions["Teaching"], {KIND_KEY: "teacher"}]}
    definitions[OF_EACH_MODEL] = {
        "anyOf": [
            {**teacher, "required": [key for key in teacher["required"] if key != "model"]}
            for teacher in definitions["teacher"]["anyOf"]
        ]
    }
    schema = _refer({**recipe, "$defs": definitions})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _refer(schema: Any) -> Any:
    """Replace what stands for all strategies of a kind by a reference to their definition."""
    if isinstance(schema, list):
        return [_refer(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _refer(value) for key, value in schema.items() if key != KIND_KEY}
    if KIND_KEY in schema:
        told["$ref"] = f"#/$defs/{schema[KIND_KEY]}"
        told.pop("default", None)
    return told


def _key(reference: Any) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]
