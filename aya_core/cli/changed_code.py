"""The options that say what becomes of answers and verdicts when the code that gave them has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def changed_code_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --keep and --redo to a command that asks teachers or arbiters; it gets `changed_code`."""
    keep = click.option(
        "--keep", "changed_code", flag_value="keep",
        help="Take over answers and verdicts although the code that gave them has changed.",
    )  # fmt: skip
    redo = click.option(
        "--redo", "changed_code", flag_value="redo",
        help="Ask anew for answers and verdicts whose code has changed. Without --keep or --redo nothing is done then.",
    )  # fmt: skip
    return keep(redo(command))
