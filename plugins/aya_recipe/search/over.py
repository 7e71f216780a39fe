"""What a search is over, as a recipe writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from aya_core.api import SettingsError

EXPECTED = (
    "expected `weights`, or {weights: simplex, density: [0.1, 1.0], ...}, with a lower and an upper bound by setting"
)


def _read(value: Any) -> Any:
    if value == "weights":
        return {"weights": None}
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"got {value!r}; {EXPECTED}")
    return {name: _bounds(str(name), limits) for name, limits in value.items()}


def _bounds(name: str, limits: Any) -> tuple[float, float] | None:
    if name == "weights" and limits in ("simplex", None):
        return None
    if name != "weights" and isinstance(limits, (list, tuple)) and len(limits) == 2 and all(map(_is_number, limits)):
        low, high = map(float, limits)
        if low < high:
            return low, high
    raise SettingsError([((name,), f"got {limits!r}; {EXPECTED}")])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_SCHEMA = {
    "anyOf": [
        {"const": "weights"},
        {
            "type": "object",
            "minProperties": 1,
            "properties": {"weights": {"const": "simplex"}},
            "additionalProperties": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        },
    ]
}

Over = Annotated[dict[str, tuple[float, float] | None], BeforeValidator(_read), WithJsonSchema(_SCHEMA)]
"""(low, high) of each setting of the merge that is searched; None under `weights`, where the weights are searched."""
