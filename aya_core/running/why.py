"""Why a step does not stand: the first thing in which it differs from what was made for it before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.contract.artifacts import MANIFEST, Artifact, load
from aya_core.contract.errors import ArtifactError
from aya_core.planning.plan import Node

SHOWN = 12
"""Digits of a content hash that are shown."""

CHARACTERS = 60
"""Of a setting that are shown."""


class Difference(NamedTuple):
    """Something that decides a result and is not what it was. None stands for what was not there, or is there no more."""

    what: str
    before: str | None
    now: str | None

    def __str__(self) -> str:
        """As `aya plan --why` prints it."""
        return f"{self.what}: was {self.before or 'not there'}, is {self.now or 'not there'}"


def first_difference(node: Node, folders: Sequence[Path], contents: Mapping[str, str]) -> Difference | None:
    """Compare a node with the artifact that differs in the fewest things from it; None where there is none, or no difference.

    folders: all that were made for it. contents: of its inputs, those that are known.
    """
    found = [list(_differences(node, artifact, contents)) for artifact in map(_load, folders) if artifact is not None]
    nearest = min(found, key=len, default=[])
    return nearest[0] if nearest else None


def _load(folder: Path) -> Artifact | None:
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return load(folder)
    except ArtifactError:  # of an earlier format or damaged: nothing to compare with
        return None


def _differences(node: Node, made: Artifact, contents: Mapping[str, str]) -> Iterator[Difference]:
    """What decides a result and differs: code, settings, seed, inputs."""
    for label, (before, now) in _unequal(made.code, node.code):
        yield Difference(f"code of {label}", before, now)
    for path, (before, now) in _unequal(dict(_leaves(made.identity)), dict(_leaves(node.identity))):
        yield Difference(f"setting {path}", _cut(before), _cut(now))
    if made.seed != node.seed:
        yield Difference("seed", str(made.seed), str(node.seed))
    roles = {*node.inputs, *node.external}
    for role, (before, now) in _unequal(made.inputs, contents):
        if role in contents or role not in roles:  # what is to be made has no content yet
            where = node.inputs.get(role) or node.external.get(role)
            yield Difference(f"content of {role}" + (f" ({where})" if where else ""), _digits(before), _digits(now))


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in dict.fromkeys((*now, *before)):
        if before.get(key) != now.get(key):
            yield key, (before.get(key), now.get(key))


def _leaves(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its dotted path, as text."""
    if isinstance(settings, Mapping) and settings:
        for key, value in settings.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(settings, (list, tuple)) and settings:
        for index, value in enumerate(settings):
            yield from _leaves(value, f"{path}.{index}")
    else:
        yield path, repr(list(settings) if isinstance(settings, tuple) else settings)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= CHARACTERS else f"{text[:CHARACTERS]}..."


def _digits(content: str | None) -> str | None:
    return None if content is None else content[:SHOWN]
