"""What a config.json says once everything that it leaves unsaid is filled in.

The configuration classes of transformers fill in the defaults of an architecture, translate older spellings, and do so for nested
configurations. Where they know no such architecture, what is written is all there is.
"""

from __future__ import annotations

import copy
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from aya_plugins.merges.configs.rope import with_one_rope
from aya_plugins.merges.configs.table import COUNTS

SHARED_CODE = ("modeling_rope_utils.py", "masking_utils.py", "cache_utils.py")
"""Files of transformers that read configurations on behalf of all architectures."""

TIED = "tie_word_embeddings"

_WHOLE = frozenset({"id2label", "label2id"})
"""Dictionaries that are compared as one value."""


@dataclass(frozen=True)
class Meaning:
    """A configuration by dotted path (`text_config.hidden_act`), defaults filled in; what is None is left out.

    written: the config.json. classes: the configuration class of each level, '' for the outermost; empty where the architecture
    is not one of transformers'.
    """

    values: Mapping[str, Any]
    written: Mapping[str, Any]
    classes: Mapping[str, type] = field(default_factory=dict)

    def reads(self, path: str) -> bool:
        """Whether the architecture's code reads a setting; True where nobody can tell."""
        if not self.classes or "auto_map" in self.written or not COUNTS.isdisjoint(path.split(".")):
            return True
        level = max((level for level in self.classes if level == "" or path.startswith(f"{level}.")), key=len)
        rest = path.removeprefix(f"{level}.") if level else path
        parts = rest.split(".")
        if parts[0] in _declared(self.classes[level]) and parts[0] != "rope_parameters":
            return True
        return _mentions(self.classes[level], parts[-1])

    def is_written(self, path: str) -> bool:
        """Whether config.json itself says it, in any spelling of rope."""
        found: Any = self.written
        for part in path.split("."):
            if part == "rope_parameters" and isinstance(found, Mapping):
                return any(name.startswith(("rope_", "partial_rotary")) for name in found)
            if not isinstance(found, Mapping) or part not in found:
                return False
            found = found[part]
        return True


def as_written(config: Mapping[str, Any]) -> Meaning:
    """Take a configuration as it is written, with one spelling of rope and no defaults."""
    return Meaning(dict(_flat(with_one_rope(_decoded(config)))), config)


def meaning_of(config: Mapping[str, Any]) -> Meaning:
    """Fill in what a configuration leaves unsaid, with transformers' class of its architecture where there is one."""
    loaded = _loaded(config)
    if loaded is None:
        return as_written(config)
    filled: dict[str, Any] = loaded.to_dict()
    filled.pop("transformers_version", None)
    return Meaning(dict(_flat(with_one_rope(filled))), config, dict(_classes(loaded)))


def ties(config: Mapping[str, Any]) -> bool:
    """Whether a configuration says that the head is a copy of the embeddings, which then need not be stored."""
    inner = config.get("text_config")
    for level in (config, inner if isinstance(inner, Mapping) else {}):
        if isinstance(level.get(TIED), bool):
            return bool(level[TIED])
    values = meaning_of(config).values
    return bool(values.get(TIED, values.get(f"text_config.{TIED}")))


def _loaded(config: Mapping[str, Any]) -> Any:
    """Load a configuration with transformers; None where it cannot."""
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError:
        return None
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return None
    try:
        with _alone():
            return CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(_decoded(config)))
    except Exception:  # each class checks in its own way; what it refuses is compared as it is written
        return None


def _decoded(value: Any) -> Any:
    """Read numbers that JSON has no word for, as transformers writes them: {"__float__": "Infinity"}."""
    if isinstance(value, Mapping):
        special = value.get("__float__")
        return float(special) if isinstance(special, str) else {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, (list, tuple)) else value


@contextmanager
def _alone() -> Iterator[None]:
    """Keep transformers from the network, where some classes look for the configuration of a backbone, and from the terminal."""
    from huggingface_hub import constants

    logger = logging.getLogger("transformers")
    before, was_offline = logger.level, constants.HF_HUB_OFFLINE
    logger.setLevel(logging.CRITICAL)
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        logger.setLevel(before)
        constants.HF_HUB_OFFLINE = was_offline


def _classes(loaded: Any, level: str = "") -> Iterator[tuple[str, type]]:
    yield level, type(loaded)
    for name, value in vars(loaded).items():
        if hasattr(value, "to_diff_dict"):
            yield from _classes(value, f"{level}.{name}" if level else name)


@cache
def _declared(cls: type) -> frozenset[str]:
    """The settings that a configuration class has."""
    fields = getattr(cls, "__dataclass_fields__", {})
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return frozenset({*fields, *parameters, *getattr(cls, "attribute_map", {})})


@cache
def _code(cls: type) -> str:
    folder = Path(inspect.getfile(cls)).parent
    shared = folder.parent.parent
    paths = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith(("convert_", "tokenization_"))]
    paths += [shared / name for name in SHARED_CODE if (shared / name).is_file()]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def _mentions(cls: type, name: str) -> bool:
    return re.search(rf"[.\"']{re.escape(name)}\b", _code(cls)) is not None


def _flat(config: Mapping[str, Any], level: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        path = f"{level}{key}"
        if isinstance(value, Mapping) and key not in _WHOLE:
            yield from _flat(value, f"{path}.")
        elif value is not None:
            yield path, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
