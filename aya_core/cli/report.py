"""`aya report`: what came of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aya_core.cli.run_plan import reporter_of
from aya_core.cli.terminal import TextConsole, say
from aya_core.planning.registry import Registry
from aya_core.running.record import RunRecord
from aya_core.running.reporting import REPORT, as_row, load_report, lost, make_report, write_report


@click.command(name="report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Make the report of the run in DIR from what stands there, write it to DIR/report.{json,md,html}, DIR/tables/ and DIR/pictures/,
    and show it.

    It reads what the run recorded. No plugin but those of aya-core is loaded: sections of others come from the report that is there.
    A report that knows more than the new one would is left as it is. Damaged artifacts are named, and their steps do not count.
    """
    record = RunRecord.read(folder)
    for fault in record.faults():
        say(f"aya: not counted as standing: {fault}", err=True)
    registry = Registry(only_own=True)
    before = load_report(folder)
    report = make_report(record, registry, before)
    if before is not None and (why := lost(before, report)) is not None:
        say(
            f"aya: {folder / REPORT} is left as it is: {why}; run the recipe again into {folder}, or move {REPORT} away to have a "
            "report of what stands",
            err=True,
        )
        raise click.exceptions.Exit(1)
    write_report(report, folder)
    reporter = reporter_of(registry)
    if reporter is not None:
        reporter.write(report, folder)
    if as_json:
        say(json.dumps(as_row(report), ensure_ascii=False))
        return
    if reporter is not None:
        reporter.show(report, TextConsole(), whole=True)
    files = folder / ("report.html" if reporter is not None else REPORT)
    say(f"{len(record.standing)} of {len(record.steps)} steps stand. Report: {files}")
