"""Keeping a run folder: what in it is damaged, and what in it the last plan does not need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aya_core.contract import artifacts
from aya_core.contract.artifacts import Artifact
from aya_core.contract.durable import DAMAGED, PARTIAL, check_sealed_text
from aya_core.contract.errors import ArtifactError, DamageError
from aya_core.contract.hashes import Hashes
from aya_core.contract.journal import Journal
from aya_core.running.inventory import ASKED_AGAIN, HASHES
from aya_core.running.record import (
    ARTIFACTS,
    PLAN,
    RUN,
    STEPS,
    RunRecord,
    file_name,
    misplaced,
    read_about,
    read_kinds,
    read_places,
)
from aya_core.running.reporting import REPORT_BEFORE, load_report
from aya_core.running.run_folder import LOGS, RECIPE, Run
from aya_core.running.tracking import TRACKERS_LOG
from aya_core.running.unfinished import damage_in, damage_of_step


@dataclass
class Verified:
    """What came of reading a run folder. artifacts, files, bytes: read. damage: what is wrong, a sentence each.

    at_work: who works in the folder, so that unfinished work and the store, which change meanwhile, were not read.
    """

    artifacts: int = 0
    files: int = 0
    bytes: int = 0
    damage: list[str] = field(default_factory=list)
    at_work: str | None = None


def verify(run: Run) -> Verified:
    """Read all of a run that carries a checksum; compare artifacts with their manifests, their places and the last plan.

    Raises ArtifactError for a folder that is no run's.
    """
    found = Verified(at_work=run.at_work())
    if not any((run.folder / part).exists() for part in (RUN, PLAN, ARTIFACTS)):
        read_about(run.folder)  # which says so
    read: dict[Path, Artifact] = {}
    for folder in _folders(run):
        if folder.suffix:
            continue
        found.artifacts += 1
        try:
            artifact = read[folder] = artifacts.load(folder)
        except ArtifactError as error:
            found.damage.append(str(error))
            continue
        found.files += len(artifact.files)
        found.bytes += sum(entry["bytes"] for entry in artifact.files.values())
        if (fault := misplaced(artifact)) is not None:
            found.damage.append(fault)
        found.damage += artifacts.damage(artifact, Hashes(), everything=True)
    found.damage += _damaged_record(run, read)
    found.damage += _damaged_beside(run)
    if found.at_work is None:
        for partial in (folder for folder in _folders(run) if folder.suffix == PARTIAL):
            found.damage += damage_of_step(partial)
        found.damage += damage_in(run.store)
    return found


def _damaged_record(run: Run, read: Mapping[Path, Artifact]) -> Iterator[str]:
    """Yield what is wrong with what a run says of itself, and where it differs from its artifacts."""
    if not (run.folder / RUN).is_file():
        yield f"{run.folder / RUN}: missing; restore it, or run the recipe again into another --out"
    else:
        try:
            read_about(run.folder)
        except ArtifactError as error:
            yield str(error)
    try:
        kinds, places = read_kinds(run.folder), read_places(run.folder, quietly=True)
    except ArtifactError as error:
        yield str(error)
        return
    if not (run.folder / STEPS).is_file():
        yield f"{run.folder / STEPS}: missing, or no file; `aya run` writes it anew"
    if places.fault is not None:
        yield f"{places.fault}; `aya run` writes it anew"
    for id, place in places.of.items():
        if not place.is_dir():
            yield f"{place}: missing; it stands for the step '{id}'"
    for folder, artifact in read.items():
        if artifact.kind != kinds.get(artifact.node, artifact.kind):
            yield f"{folder}: holds {artifact.kind}, and the plan says that '{artifact.node}' is {kinds[artifact.node]}"


def _damaged_beside(run: Run) -> Iterator[str]:
    """Yield what is wrong with what stands beside the record: the recipe as it was run, hashes of the user's files, the report."""
    try:
        check_sealed_text(run.folder / RECIPE)
    except FileNotFoundError:
        yield f"{run.folder / RECIPE}: missing; `aya run` writes it anew"
    except DamageError as error:
        yield f"{error}; `aya run` writes it anew"
    hashes = Journal(run.folder / HASHES)
    hashes.read(quietly=True)
    if hashes.fault is not None:
        yield hashes.fault
    try:
        load_report(run.folder)
    except ArtifactError as error:
        yield str(error)


class Needed(NamedTuple):
    """What a plan wants of a run folder.

    folders: of its artifacts. steps: names of the folders of all its steps. unfinished: of those that are to be made, or of which the
    record does not say what stands for them: nothing of theirs is to be deleted. all_stand: none is left to do.
    """

    folders: frozenset[Path]
    steps: frozenset[str]
    unfinished: frozenset[str]
    all_stand: bool


def needed(record: RunRecord) -> Needed:
    """Find out which artifacts the last plan of a run wants."""
    folders = frozenset(artifact.folder for artifact in record.standing.values())
    steps = frozenset(map(file_name, record.steps))
    to_do = frozenset(file_name(id) for id in record.steps if id not in record.standing)
    return Needed(folders, steps, to_do, not to_do)


class Unneeded(NamedTuple):
    """A file or folder that may be deleted. bytes: of all that it holds. why: what it is."""

    path: Path
    bytes: int
    why: str


def unneeded(run: Run, needed: Needed) -> Iterator[Unneeded]:
    """Yield what a run folder holds beside what a plan wants, each with its size."""
    for folder in _folders(run):
        if (why := _why_unneeded(folder, needed)) is not None:
            yield Unneeded(folder, _size(folder), why)
    if needed.all_stand and run.store.is_dir():
        for entry in sorted(run.store.iterdir()):
            yield Unneeded(entry, _size(entry), "kept for steps to come, and none is left to do")
    elif run.store.is_dir():
        for path in sorted(run.store.rglob("*")):
            if path.name.endswith(PARTIAL) or path.suffix.startswith(DAMAGED):
                yield Unneeded(path, _size(path), "half-written or damaged")
    for log in sorted((run.folder / LOGS).glob("*.log")):
        if log.stem not in needed.steps and log.name != TRACKERS_LOG:
            yield Unneeded(log, _size(log), "the log of a step that the plan does not name")
    for path in sorted(run.folder.glob(f"{REPORT_BEFORE}*")):
        yield Unneeded(path, _size(path), "an earlier report")
    for path in sorted(run.folder.glob(f".*{PARTIAL}")):
        yield Unneeded(path, _size(path), "half-written")


def _why_unneeded(folder: Path, needed: Needed) -> str | None:
    if folder.suffix == "":
        is_wanted = folder in needed.folders or folder.parent.name in needed.unfinished
        return None if is_wanted else "an artifact that the plan does not name"
    if folder.suffix == PARTIAL:  # of what is wanted and not there, the next run takes it up
        is_to_do = folder.parent.name in needed.unfinished and not folder.with_suffix("").exists()
        return None if is_to_do else "unfinished work that no step goes on with"
    if folder.suffix == ASKED_AGAIN:
        return "an artifact that was asked for again"
    return "damaged, and set aside" if folder.suffix.startswith(DAMAGED) else None


def _folders(run: Run) -> list[Path]:
    return sorted(path for path in run.folder.glob(f"{ARTIFACTS}/*/*") if path.is_dir())


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
