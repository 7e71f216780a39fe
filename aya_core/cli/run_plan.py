"""What every command does that runs a recipe: progress while it lasts, a report when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aya_core.cli.progress import Progress
from aya_core.cli.terminal import say
from aya_core.contract.artifacts import Artifact
from aya_core.contract.errors import ArtifactError, AyaError
from aya_core.contract.reports import Reporter, RunReport
from aya_core.contract.trouble import os_sentence
from aya_core.planning.registry import Registry
from aya_core.running.record import RunRecord
from aya_core.running.reporting import REPORT, REPORT_BEFORE, load_report, lost, make_report, write_report
from aya_core.running.runner import Runner

FILES = (REPORT, "report.md", "report.html")


def run_plan(runner: Runner, *, quiet: bool = False) -> tuple[Mapping[str, Artifact], RunReport]:
    """Make the artifacts of a plan, and the report of what then stands. Returns both.

    A run that fails leaves a report, too, unless the one that is there knows more.
    """
    registry = runner.loaded.registry
    with Progress(len(runner.plan.nodes), registry.actions, quiet=quiet) as progress:
        registry.manager.register(progress, "terminal")
        try:
            made = runner.go()
        except AyaError:
            if runner.recorder is not None:
                _report_failed(runner.run.folder, registry)
            raise
    return made, _report(runner.run.folder, registry)


def reporter_of(registry: Registry) -> Reporter | None:
    """Who writes and shows reports; None where no plugin offers it, so that `report.json` is all there is."""
    reporter: Reporter | None = registry.manager.hook.aya_reporter()
    return reporter


def _report_failed(folder: Path, registry: Registry) -> None:
    try:
        _report(folder, registry, is_failed=True)
    except (AyaError, OSError) as error:  # why the run failed is said after it
        why = os_sentence(error) if isinstance(error, OSError) else error
        say(f"no report: {why}", err=True)


def _report(folder: Path, registry: Registry, *, is_failed: bool = False) -> RunReport:
    before = _report_before(folder)
    report = make_report(RunRecord.read(folder), registry, before)
    why = lost(before, report) if before is not None else None
    if why is not None and is_failed:
        say(f"{folder / REPORT} stays as it was: {why}", err=True)
        return report
    if why is not None:
        say(f"the report before is kept as {_set_aside(folder)} (also .md and .html): {why}", err=True)
    write_report(report, folder)
    if (reporter := reporter_of(registry)) is not None:
        reporter.write(report, folder)
    return report


def _report_before(folder: Path) -> RunReport | None:
    """The report that lies in the folder. One that cannot be read is set aside, so that it costs no run its report."""
    try:
        return load_report(folder)
    except ArtifactError as error:
        say(f"kept as {_set_aside(folder)}: {error}", err=True)
        return None


def _set_aside(folder: Path) -> Path:
    """Give the files of a report names that none has; return the first."""
    count = 0
    while (aside := folder / f"{REPORT_BEFORE}{count or ''}.json").exists():
        count += 1
    for name in FILES:
        if (folder / name).is_file():
            (folder / name).rename(aside.with_suffix(Path(name).suffix))
    return aside
