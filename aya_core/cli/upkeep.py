"""`aya verify` and `aya prune`: whether a run folder is what was written, and what no step needs any more."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from aya_core.cli.amounts import counted, megabytes
from aya_core.cli.terminal import say
from aya_core.running import upkeep
from aya_core.running.record import RunRecord
from aya_core.running.run_folder import Run


@click.command(name="verify")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def verify(folder: Path, as_json: bool) -> None:
    """Read all in the run folder DIR that carries a checksum, and list what is damaged: every finished artifact, what the run says
    of itself (run.json, plan.json, steps.jsonl, recipe.yaml, report.json, hashes.jsonl), the journals, shards and sealed files of
    unfinished work and of the store. Exit code 1 if anything is damaged.

    `aya run` trusts files whose size and time of change are those of the manifest; this reads them all.

    Logs, report.md, report.html, tables/ and pictures/ carry no checksum. What unfinished training and merges saved is read when
    their steps go on; no unfinished work is read while a run is at work in DIR.
    """
    found = upkeep.verify(Run(folder))
    if as_json:
        say(json.dumps(asdict(found)))
    else:
        for what in found.damage:
            say(what)
        read = f"{counted(found.artifacts, 'artifact')}, {counted(found.files, 'file')}, {megabytes(found.bytes)} read"
        if found.at_work is not None:
            say(f"not read: unfinished work and the store, as a run is at work ({found.at_work})")
        say(f"{read}: {len(found.damage) or 'nothing'} damaged")
    sys.exit(1 if found.damage else 0)


@click.command(name="prune")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--yes", is_flag=True, help="Delete it. Without this, nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def prune(folder: Path, yes: bool, as_json: bool) -> None:
    """List what the last recipe that was run in DIR does not need: artifacts of other settings, unfinished work that nothing
    goes on with, what was set aside, earlier reports, logs of steps that it does not name, and the store once all steps stand. With
    --yes, delete it.

    Of steps for which nothing stands, or whose artifact is damaged, nothing is deleted. Deleted answers and verdicts are asked for
    again if a recipe wants them again.
    """
    run = Run(folder)
    if yes:
        RunRecord.read(folder)  # before the lock makes a file in a folder that is no run's
        with run.lock():
            record = RunRecord.read(folder)
            found = list(upkeep.unneeded(run, upkeep.needed(record)))
            for one in found:
                shutil.rmtree(one.path) if one.path.is_dir() else one.path.unlink()
    else:
        record = RunRecord.read(folder)
        found = list(upkeep.unneeded(run, upkeep.needed(record)))
    for fault in record.faults():
        say(f"aya: left as it is: {fault}", err=True)
    _show_unneeded(found, yes, as_json)


def _show_unneeded(found: Sequence[upkeep.Unneeded], deleted: bool, as_json: bool) -> None:
    total = sum(one.bytes for one in found)
    if as_json:
        rows = [{"path": str(one.path), "bytes": one.bytes, "why": one.why} for one in found]
        say(json.dumps({"deleted": deleted, "bytes": total, "unneeded": rows}))
        return
    for one in found:
        say(f"{megabytes(one.bytes):>15}  {one.path}: {one.why}")
    if not found:
        say("nothing to delete")
        return
    remedy = "" if deleted else "; --yes deletes them"
    what = "1 file or folder" if len(found) == 1 else f"{len(found)} files and folders"
    say(f"{megabytes(total):>15}  {'deleted' if deleted else 'in'} {what}{remedy}")
