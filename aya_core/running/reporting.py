"""Make the report of a run from its record. Stages bring their sections; a report is never replaced by one that knows less."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.errors import ArtifactError, DamageError
from aya_core.contract.reports import Alert, RunReport, Section
from aya_core.planning.registry import Registry
from aya_core.running.record import FORMAT, RunRecord, StageRecord, check_format

REPORT = "report.json"

REPORT_BEFORE = "report.before"
"""Begins the names of the files of a report that another has replaced though it knew more."""


def make_report(record: RunRecord, registry: Registry, before: RunReport | None = None) -> RunReport:
    """Make the report of what stands.

    before: the report that lies in the folder. From it comes the section of a stage whose plugin is not in the registry, or whose code
    fails, as long as the artifacts stand that it is of. A section that can be had in neither way is an alert, which says why. What is
    damaged is an alert in the section of its stage.
    """
    steps = {id: artifact.fingerprint for id, artifact in record.standing.items()}
    spent: dict[str, float] = defaultdict(float)
    for id in record.steps:
        if (own := record.own(id)) is not None:
            spent[record.steps[id].stage] += own.seconds
    sections: dict[str, Section] = {}
    kept = set()
    for name in record.stages:
        stage = record.stage(name)
        section, problem = _section(stage, registry)
        if problem is not None:
            section = _known(stage, before, steps)
            kept |= {name} if section is not None else set()
            if section is None and (before is None or _steps(stage, before.steps) != _steps(stage, steps)):
                section = Section(name, {}, [Alert(problem)])
        faults = [
            Alert(text) for text in dict.fromkeys(record.damaged[id] for id in stage.steps if id in record.damaged)
        ]
        if faults:
            section = section or Section(name, {})
            section = replace(section, blocks=[*faults, *(block for block in section.blocks if block not in faults)])
        if section is not None:
            sections[name] = section
    return RunReport(
        record.recipe, record.seed, record.aya_core, round(record.seconds, 1),
        {name: round(seconds, 1) for name, seconds in spent.items()}, steps, sections, frozenset(kept),
    )  # fmt: skip


def lost(before: RunReport, now: RunReport) -> str | None:
    """Say what an earlier report knows that a new one does not; None where the new one knows all of it."""
    steps = [id for id in before.steps if id not in now.steps]
    known, known_now = ({name for name, section in one.sections.items() if _says(section)} for one in (before, now))
    sections = sorted(known - known_now)
    if steps:
        return f"it knows {len(before.steps)} steps, of which {len(steps)} do not stand, such as '{steps[0]}'"
    return f"it has the section '{sections[0]}', which cannot be made now" if sections else None


def write_report(report: RunReport, folder: Path) -> None:
    """Write `report.json`."""
    write_sealed(folder / REPORT, as_row(report))


def as_row(report: RunReport) -> dict[str, Any]:
    """The report as JSON can hold it."""
    return {
        "format": FORMAT, "recipe": report.recipe, "seed": report.seed, "aya_core": report.aya_core, "seconds": report.seconds,
        "stage_seconds": report.stage_seconds, "steps": report.steps,
        "sections": {name: section.as_row() for name, section in report.sections.items()},
    }  # fmt: skip


def load_report(folder: Path) -> RunReport | None:
    """Read the report that was written; None where there is none. Raises ArtifactError for a damaged one."""
    file = folder / REPORT
    if not file.is_file():
        return None
    remedy = f"delete it, and `aya report {folder}` makes it again"
    try:
        found = read_sealed(file)
        check_format(found, file)
        sections = {name: Section.from_row(row) for name, row in found["sections"].items()}
        return RunReport(
            found["recipe"], found["seed"], found["aya_core"], found["seconds"], dict(found["stage_seconds"]), dict(found["steps"]),
            sections,
        )  # fmt: skip
    except DamageError as error:
        raise ArtifactError(f"{error}; {remedy}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{file}: damaged ({type(error).__name__}); {remedy}") from None


def _section(stage: StageRecord, registry: Registry) -> tuple[Section | None, str | None]:
    """The section that a stage's own code makes, or why it makes none."""
    offered = registry.stages.get(stage.do)
    if offered is None:
        return None, f"no section: it is of the plugin that offers the stage '{stage.do}', which is not loaded here"
    try:
        section = offered.section(stage)
        if section is not None:
            section = Section.from_row(json.loads(json.dumps(section.as_row())))  # as it will be read again
    except Exception as error:  # a stage of anyone's, on artifacts of any version; the other sections stand
        return None, f"no section: that of the stage '{stage.do}' failed with {type(error).__name__}: {error}"
    return section, None


def _known(stage: StageRecord, before: RunReport | None, steps: Mapping[str, str]) -> Section | None:
    """The section as it was, where what it is of still stands."""
    if before is None or not _steps(stage, before.steps).items() <= _steps(stage, steps).items():
        return None
    return before.sections.get(stage.name)


def _says(section: Section) -> bool:
    """Whether a section says more than that something is wrong."""
    return bool(section.data) or not all(isinstance(block, Alert) for block in section.blocks)


def _steps(stage: StageRecord, steps: Mapping[str, str]) -> dict[str, str]:
    return {id: steps[id] for id in stage.steps if id in steps}
