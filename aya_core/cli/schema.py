"""`aya schema`: for editors."""

from __future__ import annotations

import json

import click

from aya_core.planning.registry import Registry
from aya_core.planning.schema import recipe_schema


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of recipes, the strategies of installed plugins included."""
    click.echo(json.dumps(recipe_schema(Registry()), indent=1, ensure_ascii=False))
