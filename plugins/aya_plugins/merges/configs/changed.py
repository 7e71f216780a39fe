"""The config.json of a merge, where it is not that of the model which the other files come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aya_plugins.merges.configs.meaning import TIED

DEPTHS = frozenset({"num_hidden_layers", "n_layer", "n_layers", "num_layers", "max_window_layers"})
"""Settings that count layers. They may differ where layers are picked; so may lists of that length."""

_TEXT = "text_config"


def counted_layers(config: Mapping[str, Any]) -> set[int]:
    """Say how many layers a configuration counts, its own or those of its text part."""
    return {value for level in _levels(config) for key in DEPTHS if isinstance(value := level.get(key), int)}


def untied(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give a configuration whose head is no copy of its embeddings."""
    changed = dict(config)
    if isinstance(changed.get(_TEXT), Mapping) and TIED in changed[_TEXT]:
        changed[_TEXT] = {**changed[_TEXT], TIED: False}
    return {**changed, TIED: False}


def restacked(config: Mapping[str, Any], length: int, origin: Sequence[int]) -> dict[str, Any]:
    """Make what counts layers, or has one value for each, fit a merge.

    length: layers of the configuration. origin: for each layer of the merge, which one it was.
    """

    def change(level: Mapping[str, Any]) -> dict[str, Any]:
        changed = dict(level)
        for key, value in level.items():
            if key in DEPTHS and value == length:
                changed[key] = len(origin)
            elif isinstance(value, list) and len(value) == length and max(origin) < length:
                changed[key] = [value[index] for index in origin]
        return changed

    return _at_both_levels(config, change)


def stored_in(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Give a configuration that names another dtype, wherever it names one."""

    def change(level: Mapping[str, Any]) -> dict[str, Any]:
        named = [key for key in ("torch_dtype", "dtype") if key in level]
        return {**level, **dict.fromkeys(named, dtype)}

    changed = {
        key: change(value) if key.endswith("_config") and isinstance(value, Mapping) else value
        for key, value in change(config).items()
    }
    return changed if "torch_dtype" in changed or "dtype" in changed else {**changed, "dtype": dtype}


def _levels(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = config.get(_TEXT)
    return [config, *([inner] if isinstance(inner, Mapping) else [])]


def _at_both_levels(config: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    changed = change(config)
    if isinstance(changed.get(_TEXT), Mapping):
        changed[_TEXT] = change(changed[_TEXT])
    return changed
