"""Keeping a run folder: what in it is damaged, and what in it the last plan does not need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aya_core.contract import artifacts
from aya_core.contract.artifacts import Artifact
from aya_core.contract.durable import DAMAGED, PARTIAL
from aya_core.contract.errors import ArtifactError
from aya_core.contract.hashes import Hashes
from aya_core.running.record import RUN, STEPS, RunRecord, file_name, misplaced, read_kinds, read_places
from aya_core.running.runner import BEFORE, Run


@dataclass
class Verified:
    """What came of reading a run folder. artifacts, files, bytes: read. damage: what is wrong, a sentence each."""

    artifacts: int = 0
    files: int = 0
    bytes: int = 0
    damage: list[str] = field(default_factory=list)


def verify(run: Run) -> Verified:
    """Read every finished artifact of a run, and compare it with its manifest, its place and the last plan.

    Unfinished work is not read: it is checked when its step goes on. Raises ArtifactError for a folder that is no run's.
    """
    found = Verified()
    if not (run.folder / RUN).is_file():
        run.about()  # which says so
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
    return found


def _damaged_record(run: Run, read: Mapping[Path, Artifact]) -> Iterator[str]:
    """Yield what is wrong with what a run says of itself, and where it differs from its artifacts."""
    try:
        run.about()
    except ArtifactError as error:
        yield str(error)
    try:
        kinds, places = read_kinds(run.folder), read_places(run.folder)
    except ArtifactError as error:
        yield str(error)
        return
    if places.damaged:
        yield f"{run.folder / STEPS}: damaged lines: {places.damaged}; `aya run` writes it anew"
    for id, place in places.of.items():
        if not place.is_dir():
            yield f"{place}: missing; it stands for the step '{id}'"
    for folder, artifact in read.items():
        if artifact.kind != kinds.get(artifact.node, artifact.kind):
            yield f"{folder}: holds {artifact.kind}, and the plan says that '{artifact.node}' is {kinds[artifact.node]}"


class Wanted(NamedTuple):
    """What a plan wants of a run folder.

    folders: of its artifacts. unfinished: names of folders of steps that are to be made, or of which the record does not say what stands
    for them: nothing of theirs is to be deleted. all_stand: none is left to do.
    """

    folders: frozenset[Path]
    unfinished: frozenset[str]
    all_stand: bool


def wanted(record: RunRecord) -> Wanted:
    """Find out which artifacts the last plan of a run wants."""
    to_do = frozenset(file_name(id) for id in record.steps if id not in record.standing)
    return Wanted(frozenset(artifact.folder for artifact in record.standing.values()), to_do, not to_do)


class Unneeded(NamedTuple):
    """A file or folder that may be deleted. bytes: of all that it holds. why: what it is."""

    path: Path
    bytes: int
    why: str


def unneeded(run: Run, wanted: Wanted) -> Iterator[Unneeded]:
    """Yield what a run folder holds beside what a plan wants, each with its size."""
    for folder in _folders(run):
        if (why := _why_unneeded(folder, wanted)) is not None:
            yield Unneeded(folder, _size(folder), why)
    if wanted.all_stand and run.store.is_dir():
        for entry in sorted(run.store.iterdir()):
            yield Unneeded(entry, _size(entry), "kept for steps to come, and none is left to do")
    elif run.store.is_dir():
        for path in sorted(run.store.rglob("*")):
            if path.name.endswith(PARTIAL) or path.suffix.startswith(DAMAGED):
                yield Unneeded(path, _size(path), "half-written or damaged")
    for path in sorted(run.folder.glob(f".*{PARTIAL}")):
        yield Unneeded(path, _size(path), "half-written")


def _why_unneeded(folder: Path, wanted: Wanted) -> str | None:
    if folder.suffix == "":
        is_wanted = folder in wanted.folders or folder.parent.name in wanted.unfinished
        return None if is_wanted else "an artifact that the plan does not name"
    if folder.suffix == PARTIAL:  # of what is wanted and not there, the next run takes it up
        is_to_do = folder.parent.name in wanted.unfinished and not folder.with_suffix("").exists()
        return None if is_to_do else "unfinished work that no step goes on with"
    if folder.suffix == BEFORE:
        return "an artifact that was asked for again"
    return "damaged, and set aside" if folder.suffix.startswith(DAMAGED) else None


def _folders(run: Run) -> list[Path]:
    return sorted(path for path in run.folder.glob("artifacts/*/*") if path.is_dir())


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
