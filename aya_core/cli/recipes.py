"""`aya recipes`: what is bundled."""

from __future__ import annotations

import json

import click

from aya_core.planning import yaml12
from aya_core.planning.registry import Registry


@click.command(name="recipes")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(as_json: bool) -> None:
    """List the recipes that plugins bring; `aya run NAME` runs one."""
    about = {
        name: {"file": str(path), "about": yaml12.parse(path.read_text(encoding="utf-8"), str(path)).get("about", "")}
        for name, path in Registry().recipes.items()
    }
    if as_json:
        click.echo(json.dumps(about))
        return
    for name, recipe in about.items():
        click.echo(f"{name}: {recipe['about']}\n    {recipe['file']}")
