"""`aya prune`: delete what no step needs any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from aya_core.running import upkeep
from aya_core.running.record import RunRecord
from aya_core.running.runner import Run


@click.command(name="prune")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--yes", is_flag=True, help="Delete it. Without this, nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(folder: Path, yes: bool, as_json: bool) -> None:
    """List what the last recipe that was run in DIR does not need: artifacts of other settings, unfinished work that nothing
    goes on with, what was set aside, and the store once all steps stand. With --yes, delete it.

    Of steps for which nothing stands, nothing is deleted. Deleted answers and verdicts are asked for again if a recipe wants them
    again.
    """
    run = Run(folder)
    if yes:
        RunRecord.read(folder)  # before the lock makes a file in a folder that is no run's
        with run.lock():
            found = list(upkeep.unneeded(run, upkeep.wanted(RunRecord.read(folder))))
            for one in found:
                shutil.rmtree(one.path) if one.path.is_dir() else one.path.unlink()
    else:
        found = list(upkeep.unneeded(run, upkeep.wanted(RunRecord.read(folder))))
    _show(found, yes, as_json)


def _show(found: Sequence[upkeep.Unneeded], deleted: bool, as_json: bool) -> None:
    total = sum(one.bytes for one in found)
    if as_json:
        rows = [{"path": str(one.path), "bytes": one.bytes, "why": one.why} for one in found]
        click.echo(json.dumps({"deleted": deleted, "bytes": total, "unneeded": rows}))
        return
    for one in found:
        click.echo(f"{one.bytes / 1e6:12,.1f} MB  {one.path}: {one.why}")
    remedy = "" if deleted or not found else "; --yes deletes them"
    click.echo(f"{total / 1e6:12,.1f} MB  {'deleted' if deleted else 'in'} {len(found)} files and folders{remedy}")
