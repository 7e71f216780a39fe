"""A command of `aya`. It imports nothing, for `aya --version` reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command, imported when it is asked for, so that `aya --help` stays quick.

    summary: one line, for `aya --help`. target: `module:attribute`, a `click` command.
    """

    summary: str
    target: str
