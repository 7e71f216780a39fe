"""`aya status`: how far a run has come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from aya_core.cli.tables import print_table
from aya_core.cli.terminal import TextConsole, say
from aya_core.running.record import RunRecord
from aya_core.running.run_folder import Run


@click.command(name="status")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """Show, stage by stage, how many steps of the run in DIR are done and how long they took.

    It reads what the run recorded and loads no plugin, so it works for runs of any version.
    """
    record = RunRecord.read(folder)
    stages = {name: _stage(record, name) for name in record.stages}
    at_work = Run(folder).at_work()
    if as_json:
        facts = {
            "recipe": record.recipe,
            "aya_core": record.aya_core,
            "at_work": at_work,
            "damaged": record.faults(),
            "stages": stages,
        }
        say(json.dumps(facts))
        return
    table = Table("stage", Column("done", no_wrap=True), Column("seconds", no_wrap=True))
    for name, stage in stages.items():
        skipped = f", {stage['skipped']} not done" if stage["skipped"] else ""
        table.add_row(name, f"{stage['done']}/{stage['steps']}{skipped}", f"{stage['seconds']:.1f}")
    console = TextConsole()
    console.print(f"{record.recipe} in {folder}", style="italic", soft_wrap=True)
    print_table(table, console)
    if at_work is not None:
        console.print(f"at work: {at_work}", soft_wrap=True)
    for fault in record.faults():
        console.print(f"damaged: {fault}", soft_wrap=True)
    for name, stage in stages.items():
        if stage["ended"] is not None:
            console.print(f"{name}: {stage['ended']}", soft_wrap=True)


def _stage(record: RunRecord, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"steps": 0, "done": 0, "seconds": 0.0, "skipped": 0, "ended": None}
    for id in record.stage(name).steps:
        found["steps"] += 1
        if (why := record.stop_reason(id)) is not None:
            found["skipped"] += 1
            found["ended"] = why
        elif id in record.standing:
            found["done"] += 1
            own = record.own(id)
            found["seconds"] += own.seconds if own is not None else 0.0
    return found
