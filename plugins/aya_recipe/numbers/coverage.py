"""Over which languages means are that stand side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def missing(found: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The languages that one lacks and another has, by name. found: by name the languages that are known."""
    codes = sorted({code for own in found.values() for code in own})
    lacks = {name: [code for code in codes if code not in own] for name, own in found.items()}
    return {name: lacking for name, lacking in lacks.items() if lacking}


def over(found: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Say over how many languages a mean is, where another is over more: `3 of 4 languages`."""
    count = len({code for own in found.values() for code in own})
    return {name: f"{len(found[name])} of {count} languages" for name in missing(found)}
