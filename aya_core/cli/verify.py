"""`aya verify`: whether a run folder is what was written."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from aya_core.running import upkeep
from aya_core.running.runner import Run


@click.command(name="verify")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """Read every finished artifact of the run in DIR, and what it says of itself, and list all that is damaged. Exit code 1 if
    anything is.

    `aya run` trusts files whose size and time of change are those of the manifest; this reads them all.
    """
    found = upkeep.verify(Run(folder))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        for what in found.damage:
            click.echo(what)
        read = f"{found.artifacts} artifacts, {found.files} files, {found.bytes / 1e6:,.1f} MB read"
        click.echo(f"{read}: {len(found.damage) or 'nothing'} damaged")
    sys.exit(1 if found.damage else 0)
