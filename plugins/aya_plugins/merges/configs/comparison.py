"""Whether two configurations say that the same weights mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from aya_core.api import AyaError, DataError, did_you_mean
from aya_plugins.merges.configs.meaning import Meaning, as_written, meaning_of
from aya_plugins.merges.configs.table import COUNTS, LABELS, POSITIONS, THROUGH_LAYER_TYPES, UNTOLD, why_free

_SHOWN = 4
"""Differences that a message spells out."""

_LONGEST = 120
"""Characters of a value in a message."""


class Configured(Protocol):
    """What is asked of a model here."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config.json."""


class Difference(NamedTuple):
    """A setting that two models have different values of. path: `text_config.hidden_act`. None: it has none."""

    path: str
    ours: Any
    theirs: Any


class Allowed:
    """The settings that may differ though they count. names: by path, or by the last part of it at any level."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = tuple(names)

    def __contains__(self, path: str) -> bool:
        return any(path == name or path.endswith(f".{name}") or path.startswith(f"{name}.") for name in self._spelled)

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        # transformers 4 says rope_theta and rope_scaling where transformers 5 says rope_parameters.
        old = {"rope_theta": "rope_parameters.rope_theta", "rope_scaling": "rope_parameters"}
        return (*self.names, *(old[name] for name in self.names if name in old))

    def check(self, models: Iterable[Configured]) -> None:
        """Raise AyaError for a name that no configuration has, with the one that was probably meant."""
        known = {path for model in models for path in meaning_of(model.config).values}
        parts = {".".join(path.split(".")[start:]) for path in known for start in range(path.count(".") + 1)}
        for name in self.names:
            one = Allowed([name])
            if not any(path in one for path in known):
                raise AyaError(
                    f"allow: no configuration of this merge has a setting '{name}'; {did_you_mean(name, parts)}"
                )


def check_configs(
    donor: Configured, others: Iterable[Configured], *, allow: Iterable[str] = (), ignore: frozenset[str] = frozenset()
) -> list[str]:
    """Refuse models whose config.json says that the same weights mean different things.

    donor: whose config.json the merge gets. allow: settings that may differ though they count. ignore: settings that are no
    concern, by name, of the outermost configuration and of those inside.

    Returns what should be known of differences that are let pass, a sentence each. Raises DataError for those that count,
    AyaError for an allowed name that no model has.
    """
    others = [other for other in others if other is not donor]
    allowed = Allowed(allow)
    if allowed.names:
        allowed.check([donor, *others])
    notes: list[str] = []
    for other in others:
        counting, free = differences(donor.config, other.config, allowed, ignore)
        if counting:
            raise DataError(_refusal(donor, other, counting))
        notes += _notes(donor, other, free, allowed)
    return notes


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], allowed: Allowed, ignore: frozenset[str] = frozenset()
) -> tuple[list[Difference], list[Difference]]:
    """List the settings that differ and count, and those that differ and may."""
    found = list(_different(as_written(ours), as_written(theirs), ignore))
    if not found:
        return [], []
    if all(why_free(one.path) and not _is_conditional(one.path) for one in found):
        return [], found
    filled = (meaning_of(ours), meaning_of(theirs))
    counting, free = [], []
    for one in _different(*filled, ignore):
        if one.path in allowed or _may_differ(one, filled):
            free.append(one)
        else:
            counting.append(one)
    kind = [one for one in counting if one.path == "model_type"]
    return kind or counting, free


def _different(ours: Meaning, theirs: Meaning, ignore: frozenset[str]) -> Iterator[Difference]:
    for path in sorted({*ours.values, *theirs.values}):
        if ignore.isdisjoint(path.split(".")):
            one = Difference(path, ours.values.get(path), theirs.values.get(path))
            if one.ours != one.theirs:
                yield one


def _may_differ(one: Difference, meanings: tuple[Meaning, Meaning]) -> bool:
    last = one.path.rpartition(".")[2]
    level = one.path.removesuffix(last)
    if "rope_parameters" in one.path or not COUNTS.isdisjoint(one.path.split(".")):
        return not any(meaning.reads(one.path) for meaning in meanings)
    if _matches(last, POSITIONS):
        return not any(_reads_positions(meaning, level) for meaning in meanings)
    if _matches(last, LABELS):
        return one.ours is None or one.theirs is None or not all(_has_labels(meaning) for meaning in meanings)
    if why_free(one.path):
        return True
    if all(f"{level}layer_types" in meaning.values for meaning in meanings):
        if last in THROUGH_LAYER_TYPES:
            return True
        if last == "sliding_window":
            return not any(
                "sliding" in str(kind) for meaning in meanings for kind in meaning.values[f"{level}layer_types"]
            )
    if last == "head_dim":
        return bool(_head_dim(one.ours, meanings[0], level) == _head_dim(one.theirs, meanings[1], level))
    return not any(meaning.reads(one.path) for meaning in meanings)


def _is_conditional(path: str) -> bool:
    return "rope_parameters" in path or _matches(path.rpartition(".")[2], (*POSITIONS, *LABELS))


def _reads_positions(meaning: Meaning, level: str) -> bool:
    """Whether a kind of rope computes with the largest position."""
    ropes = {
        path.removesuffix(".rope_type"): kind for path, kind in meaning.values.items() if path.endswith(".rope_type")
    }
    here = {path: kind for path, kind in ropes.items() if path.startswith(f"{level}rope_parameters")}
    return any(
        kind == "dynamic" or (kind == "longrope" and f"{path}.factor" not in meaning.values)
        for path, kind in here.items()
    )


def _has_labels(meaning: Meaning) -> bool:
    """Whether a model has a head whose rows are labels with names of their own."""
    names = meaning.values.get("id2label", {})
    given = {str(name) for key, name in names.items() if str(name) != f"LABEL_{key}"}
    is_head = any("Classification" in str(name) for name in meaning.values.get("architectures", ()))
    return is_head and len(names) > 1 and bool(given)


def _head_dim(value: Any, meaning: Meaning, level: str) -> Any:
    if value is not None:
        return value
    width, heads = (meaning.values.get(f"{level}{name}") for name in ("hidden_size", "num_attention_heads"))
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refusal(donor: Configured, other: Configured, counting: list[Difference]) -> str:
    ours, theirs = meaning_of(donor.config), meaning_of(other.config)
    said = [
        f"{one.path} is {_shown(one.ours, ours, one.path)} in '{donor.name}' and "
        f"{_shown(one.theirs, theirs, one.path)} in '{other.name}'"
        for one in counting[:_SHOWN]
    ]
    more = f", and {len(counting) - _SHOWN} more settings differ" if len(counting) > _SHOWN else ""
    name = counting[0].path
    return (
        f"config.json: {'; '.join(said)}{more}; the same weights mean different things there; merge models of one "
        f"architecture, or take '{donor.name}' at its word with `--allow {name}` (in a recipe, `allow: [{name}]`)"
    )


def _shown(value: Any, meaning: Meaning, path: str) -> str:
    if value is None:
        return "not given" if not meaning.classes else "None"
    text = repr(value)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return text if meaning.is_written(path) else f"{text} (the architecture's default)"


def _notes(donor: Configured, other: Configured, free: list[Difference], allowed: Allowed) -> Iterator[str]:
    told = [one for one in free if one.path.rpartition(".")[2] not in UNTOLD and not one.path.endswith("id2label")]
    for is_allowed in (False, True):
        some = [one for one in told if (one.path in allowed) is is_allowed]
        if some:
            values = ", ".join(f"{one.path} {_brief(one.theirs)} instead of {_brief(one.ours)}" for one in some)
            why = "that count, which is allowed" if is_allowed else "that change nothing weights mean"
            yield f"config.json is that of '{donor.name}'; '{other.name}' differs in settings {why}: {values}"


def _brief(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
