"""One spelling of rotary position embeddings, which transformers 4 and 5 write differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READ_BY: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": (
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
        "truncate",
    ),
    "longrope": ("factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
}  # fmt: skip
"""What each kind of rope reads beside its theta, as transformers 5 computes it (`modeling_rope_utils.py`)."""

SCALING = frozenset(name for names in READ_BY.values() for name in names)

DEFAULTS: Mapping[str, Any] = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "partial_rotary_factor": 1.0}
"""What a kind of rope takes where nothing is said."""

NO_SCALING = ("linear", "yarn", "llama3")
"""Kinds of rope that are plain rope where their factor is 1."""

_OLD = ("rope_theta", "rope_scaling", "partial_rotary_factor")


def with_one_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give a configuration, and those inside of it, whose rope is in `rope_parameters` alone, without what is not read."""
    found = {key: with_one_rope(value) if _is_config(key, value) else value for key, value in config.items()}
    written = found.get("rope_parameters") or found.get("rope_scaling")
    if not written and found.get("rope_theta") is None:
        return found
    old = {key: found.pop(key) for key in _OLD if key in found}
    beside = {key: old[key] for key in ("rope_theta", "partial_rotary_factor") if old.get(key) is not None}
    rope = dict(written or {})
    if by_layer := {key: value for key, value in rope.items() if isinstance(value, Mapping)}:
        found["rope_parameters"] = {key: _plain_rope({**beside, **value}) for key, value in by_layer.items()}
    else:
        found["rope_parameters"] = _plain_rope({**beside, **rope})
    return found


def _plain_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in rope.items() if value is not None}
    kind = said.pop("type", "default")
    kind = said.pop("rope_type", kind)
    if kind in NO_SCALING and said.get("factor") == 1 and said.get("attention_factor", 1) == 1:
        kind = "default"
    unread = SCALING - set(READ_BY[kind]) if kind in READ_BY else frozenset[str]()
    kept = {key: value for key, value in said.items() if key not in unread and value != DEFAULTS.get(key)}
    return {"rope_type": kind, **kept}


def _is_config(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and (key.endswith("_config") or "model_type" in value)
