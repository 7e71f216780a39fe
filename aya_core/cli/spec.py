"""Strategies and settings as words of a command: `NAME,model=./rm` is `{use: NAME, model: ./rm}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aya_core.contract.errors import RecipeError
from aya_core.contract.explain import SettingsError
from aya_core.contract.kinds import Tracker
from aya_core.contract.strategies import Strategy
from aya_core.planning import yaml12
from aya_core.planning.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])


def track_option(command: Command) -> Command:
    """Add the option --track to a command."""
    return click.option(
        "--track", metavar="SPEC", multiple=True, help="Send measures to a tracker as well: NAME, or NAME,project=mine."
    )(command)


def read_strategy(text: str, option: str) -> dict[str, Any]:
    """Read `use,key=value,...`, or a YAML mapping in braces."""
    if text.lstrip().startswith("{"):
        read = yaml12.parse(text, option)
        if not isinstance(read, dict):
            raise RecipeError(f"{option} {text}: expected a mapping such as {{use: name, key: value}}")
        return read
    use, *words = re.split(r",(?![^\[{]*[\]}])", text)  # not inside brackets
    return {"use": use.strip(), **read_settings(words, option)}


def read_settings(words: list[str], option: str) -> dict[str, Any]:
    """Read `key=value` words; values are YAML, and dots make mappings."""
    read: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"{option}: '{word}' is not a setting; expected key=value, or a YAML mapping in braces")
        *parents, last = key.strip().split(".")
        here = read
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise RecipeError(f"{option}: '{word}': '{parent}' has a value already; give one or the other")
        here[last] = yaml12.parse(value, f"{option} {key}")
    return read


def read_trackers(texts: Sequence[str], registry: Registry) -> list[Strategy[Tracker]]:
    """Read the trackers of `--track`."""
    try:
        return [registry.validate("tracker", read_strategy(text, "--track")) for text in texts]
    except SettingsError as error:
        raise RecipeError(f"--track: {error}") from None
