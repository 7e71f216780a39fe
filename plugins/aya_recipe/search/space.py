"""What a search moves in: weights of the models on a simplex, and settings of the merge between bounds.

Weights are the softmax of one coordinate for each model, times the number of models: they are positive and 1 in the mean,
and the origin is what `do: merge` does without weights. One coordinate more than needed keeps models alike; for two models
it also gives the two dimensions that CMA-ES wants at the least. A setting is a line that is reflected at its bounds, so that
the bounds themselves can be reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from aya_core.api import AyaError, MergeParameter, SettingsError, Strategy, is_number

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
    if name != "weights" and isinstance(limits, (list, tuple)) and len(limits) == 2 and all(map(is_number, limits)):
        low, high = map(float, limits)
        if low < high:
            return low, high
    raise SettingsError([((name,), f"got {limits!r}; {EXPECTED}")])


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


WEIGHT_STEP = 2 / 3
"""Of a logit, for a step of 1: at first the weights of most candidates lie between a half and twice the uniform one."""

SETTING_STEP = 1 / 4
"""Of the distance between a setting's bounds, for a step of 1."""

DIGITS = 6
"""Kept of weights and settings, so that what is written down is exactly what was merged."""


@dataclass(frozen=True)
class Space:
    """models: whose weights are searched; none leaves all at 1. bounds: (low, high) of each setting that is searched.
    start: its value at the origin."""

    models: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    start: Mapping[str, float]

    @property
    def dimensions(self) -> int:
        """How many coordinates a point has."""
        return len(self.models) + len(self.bounds)

    def at(self, point: Sequence[float]) -> tuple[dict[str, float], dict[str, float]]:
        """Give the weights and the settings at a point; both are by name."""
        logits = [WEIGHT_STEP * value for value in point[: len(self.models)]]
        settings = {}
        for (name, (low, high)), value in zip(self.bounds.items(), point[len(self.models) :], strict=True):
            share = _reflected((self.start[name] - low) / (high - low) + SETTING_STEP * value)
            settings[name] = min(max(float(f"{low + (high - low) * share:.{DIGITS}g}"), low), high)
        return dict(zip(self.models, _weights(logits), strict=True)), settings


def _weights(logits: Sequence[float]) -> list[float]:
    highest = max(logits, default=0.0)
    shares = [math.exp(logit - highest) for logit in logits]
    return [round(len(shares) * share / sum(shares), DIGITS) for share in shares]


def _reflected(share: float) -> float:
    share %= 2.0
    return 2.0 - share if share > 1.0 else share


def space_of(merge: Strategy[Any], models: Sequence[str], over: Mapping[str, tuple[float, float] | None]) -> Space:
    """Make the space of a search. over: bounds by setting; None for the weights. Raises AyaError, without the path."""
    bounds = {name: limits for name, limits in over.items() if limits is not None}
    start = {name: _start(merge, name, low, high) for name, (low, high) in bounds.items()}
    return Space(tuple(models) if len(bounds) < len(over) else (), bounds, start)


def _start(merge: Strategy[Any], name: str, low: float, high: float) -> float:
    written = getattr(merge, name)
    value = written.constant if isinstance(written, MergeParameter) else written
    if written is None:
        return (low + high) / 2
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise AyaError(f"`{name}` of the merge is {written!r}; a search moves single numbers")
    if not low <= value <= high:
        raise AyaError(
            f"the search starts from what `merge` says, where `{name}` is {value:g}; that is outside {low:g} to {high:g}"
        )
    return float(value)
