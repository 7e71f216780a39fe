"""Token ids and vocabulary sizes in the configuration of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_ROLE = ("_token_id", "_token_index")


def vocabulary_rows(config: Mapping[str, Any]) -> int | None:
    """Say how many rows a model's vocabulary tables have: `vocab_size`, its own or that of its text part."""
    size = config.get("vocab_size", (config.get("text_config") or {}).get("vocab_size"))
    return size if isinstance(size, int) else None


def with_vocabulary_rows(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Give a configuration with another `vocab_size`, in the place or places where it has one."""
    changed = dict(config)
    if isinstance(changed.get("text_config"), Mapping) and "vocab_size" in changed["text_config"]:
        changed["text_config"] = {**changed["text_config"], "vocab_size": rows}
        if "vocab_size" not in changed:
            return changed
    changed["vocab_size"] = rows
    return changed


def with_token_ids(config: Mapping[str, Any], moved: Callable[[str, int], int | None]) -> dict[str, Any]:
    """Give a configuration whose token ids (bos_token_id, eos_token_id, image_token_index, ...) are replaced.

    moved: says which id takes the place of one, from its key and the id; None drops it from a list, and clears it
    elsewhere.
    """

    def change(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {inner: change(inner, item) for inner, item in value.items()}
        if not key.endswith(_ROLE) or isinstance(value, bool):
            return value
        if isinstance(value, list):
            found = [moved(key, index) for index in value]
            return list(dict.fromkeys(index for index in found if index is not None)) or None
        return moved(key, value) if isinstance(value, int) and value >= 0 else value

    return {key: change(key, value) for key, value in config.items()}
