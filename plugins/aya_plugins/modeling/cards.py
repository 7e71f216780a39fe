"""What the model card of a checkpoint says of it: where it comes from, under which licence it may be used, its languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CARD = "README.md"

LONGEST = 100_000
"""Characters of a front matter that is read."""

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True)
class Card:
    """A model card's front matter. base_models: hub ids alone. license: None where it says none. languages: as they stand there."""

    base_models: tuple[str, ...] = ()
    license: str | None = None
    languages: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Read the card in a checkpoint's folder; one that is missing or cannot be read says nothing."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return Card()
    parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3 or parts[0].strip():
        return Card()
    front = _front_matter(parts[1])
    license = front.get("license_name") if front.get("license") == "other" else front.get("license")
    return Card(
        tuple(name for name in _texts(front.get("base_model")) if _HUB_ID.fullmatch(name)),
        license if isinstance(license, str) and license not in ("", "~", "null") else None,
        _texts(front.get("language")),
    )


def hub_id(folder: Path) -> str | None:
    """Name the model of the hub whose files lie in a folder of the download cache; None for any other folder."""
    found = next((part for part in reversed(folder.parts) if part.startswith("models--")), None)
    return None if found is None else "/".join(found.split("--")[1:])


def parents(where: Path) -> list[str]:
    """Name the public models that a checkpoint descends from, by their ids on the hub.

    That is its own, where it lies in a download cache; else what its card says.
    """
    if not where.exists():
        return [where.as_posix()]  # an id on the hub
    own = hub_id(where)
    return [own] if own else list(read_card(where).base_models)


def _front_matter(text: str) -> Mapping[str, Any]:
    """Read it with every value as text: `no` is Norwegian. One with aliases, which can stand for any amount, says nothing."""
    if len(text) > LONGEST:
        return {}
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.BaseLoader)):
            return {}
        found = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _texts(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text for text in listed if isinstance(text, str) and text not in ("", "~", "null"))
