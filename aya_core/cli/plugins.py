"""`aya plugins`: who is installed."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from aya_core.planning.registry import Registry


@click.command(name="plugins")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), help="Also load this plugin file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """List the installed plugins: where each comes from and what it offers."""
    registry = Registry(files)
    offered: dict[str, list[str]] = {name: [] for name in registry.plugins}
    for kind, names in registry.offers.items():
        for name in names:
            offered[registry.origin(kind, name).name].append(f"{kind} {name}")
    rows = [
        {"plugin": p.name, "distribution": p.distribution, "version": p.version, "source": p.source, "offers": offered[p.name]}
        for p in registry.plugins.values()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("plugin", "from", "source", "offers")
    for row in rows:
        table.add_row(
            str(row["plugin"]), f"{row['distribution']} {row['version']}", str(row["source"]), "\n".join(row["offers"])
        )
    Console().print(table)
    if registry.disabled:
        click.echo(f"blocked by AYA_DISABLE_PLUGINS: {', '.join(sorted(registry.disabled))}")
