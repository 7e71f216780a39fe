"""The record of a run: what its folder says of itself, to be read by any version, without the plugins that made it.

- `run.json`: see `About`
- `plan.json`: the last plan: stages with their settings as plain data, steps in the order of the plan, and names of results
- `steps.jsonl`: a journal of which artifact stands for which of its steps, written as they are found or made

Reading looks at these and at the manifests of artifacts. It runs no code of the folder, loads no recipe and derives no fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aya_core import __version__
from aya_core.contract import artifacts
from aya_core.contract.artifacts import Artifact, stable_hash
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.errors import ArtifactError, DamageError
from aya_core.contract.journal import Journal
from aya_core.planning.plan import Plan
from aya_core.planning.recipe import LoadedRecipe

RUN, PLAN, STEPS = "run.json", "plan.json", "steps.jsonl"

ARTIFACTS = "artifacts"
"""The folder of all artifacts of a run."""

FORMAT = 1
"""Of `run.json` and `plan.json`. Keys may be added without a new one."""


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Shape = TypeVar("Shape", bound=_Recorded)


class RecordedStep(_Recorded):
    """A step of the plan that was run. settings: those that decide its result. The rest as in `Node`."""

    id: str
    stage: str
    action: str
    kind: str
    settings: Mapping[str, Any] = {}
    inputs: Mapping[str, str] = {}
    subpaths: Mapping[str, str] = {}
    external: Mapping[str, str] = {}
    guard: str | None = None
    fallback: str | None = None
    alias_of: str | None = None


class RecordedStage(_Recorded):
    """A stage of the recipe that was run. settings: all of them, as plain data."""

    name: str
    do: str
    settings: Mapping[str, Any] = {}


class About(_Recorded):
    """What `run.json` says: whose run it is, and how many seconds it has taken."""

    model_config = ConfigDict(extra="allow")

    recipe: str
    seconds: float = 0.0


class _PlanFile(_Recorded):
    recipe: str
    seed: int
    aya_core: str
    stages: tuple[RecordedStage, ...]
    steps: tuple[RecordedStep, ...]
    names: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class RunRecord:
    """A run as it stands. aya_core: the version that made it. names: steps by what stages call their results, as in `Plan`.

    standing: artifacts by step. The artifact of another step may stand for one: see `own` and `stop_reason`. damaged: what is wrong
    with the artifact of a step, which therefore does not stand.
    """

    folder: Path
    recipe: str
    seed: int
    aya_core: str
    seconds: float
    stages: Mapping[str, RecordedStage]
    steps: Mapping[str, RecordedStep]
    names: Mapping[str, Mapping[str, str]]
    standing: Mapping[str, Artifact]
    damaged: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read a run folder; of a run at work or a killed one, as far as it came.

        A damaged artifact costs its own step alone. Raises ArtifactError for a folder whose own record cannot be read.
        """
        about = read_about(folder)
        plan = _read_plan(folder)
        steps = {step.id: step for step in plan.steps}
        places = read_places(folder).of
        standing: dict[str, Artifact] = {}
        damaged: dict[str, str] = {}
        for id, place in places.items():
            if id in steps and place.exists():
                try:
                    standing[id] = _load(place)
                except ArtifactError as error:
                    damaged[id] = str(error)
        stages = {stage.name: stage for stage in plan.stages}
        return cls(
            folder, plan.recipe, plan.seed, plan.aya_core, about.seconds, stages, steps, plan.names,
            {id: standing[id] for id in steps if id in standing}, {id: damaged[id] for id in steps if id in damaged},
        )  # fmt: skip

    def faults(self) -> Sequence[str]:
        """What is wrong with artifacts, each said once, though one may stand for several steps."""
        return list(dict.fromkeys(self.damaged.values()))

    def own(self, step: str) -> Artifact | None:
        """The artifact that a step made; None where it made none, or where another's stands in for it."""
        artifact = self.standing.get(step)
        return artifact if artifact is not None and artifact.node == step else None

    def stop_reason(self, step: str) -> str | None:
        """Why a step is not to be done; None where it is, or where its guard has not said yet."""
        return stop_reason(self.standing.get(self.steps[step].guard or ""))

    def stage(self, name: str) -> StageRecord:
        """The record of one stage."""
        return StageRecord(self, **dict(self.stages[name]))


@dataclass(frozen=True)
class StageRecord:
    """What a run recorded of one stage. run: the whole record, for what the stage reads of others."""

    run: RunRecord
    name: str
    do: str
    settings: Mapping[str, Any]

    @property
    def steps(self) -> Mapping[str, RecordedStep]:
        """Its steps, in the order of the plan."""
        return {id: step for id, step in self.run.steps.items() if step.stage == self.name}

    @property
    def standing(self) -> Mapping[str, Artifact]:
        """The artifacts of its steps that stand."""
        return {id: self.run.standing[id] for id in self.steps if id in self.run.standing}


class Recorder:
    """Writes the record while a run goes on. standing: what of the plan stands when it starts."""

    def __init__(self, folder: Path, loaded: LoadedRecipe, plan: Plan, standing: Mapping[str, Artifact]) -> None:
        facts = _plan(loaded, plan)
        self.plan = stable_hash(facts)
        self.steps = Journal(folder / STEPS)
        self.known = {id: artifact.folder for id, artifact in standing.items()}
        self.steps.remove()
        write_sealed(folder / PLAN, facts)
        self.steps.write((id, [self.plan, _named(place)]) for id, place in self.known.items())

    def stands(self, step: str, artifact: Artifact) -> None:
        """Note that an artifact stands for a step."""
        if self.known.get(step) != artifact.folder:
            self.known[step] = artifact.folder
            self.steps.write([(step, [self.plan, _named(artifact.folder)])])

    def close(self) -> None:
        """End the record."""
        self.steps.close()


class Places(NamedTuple):
    """Where the artifacts of a run lie, by step. fault: says which lines of the journal are not believed; None where all are."""

    of: Mapping[str, Path]
    fault: str | None


def read_places(folder: Path, *, quietly: bool = False) -> Places:
    """Read where the artifacts of the last plan lie, those of steps alone that stand. Raises ArtifactError without a plan.

    quietly: do not print the fault.
    """
    _read_plan(folder)
    plan, journal = stable_hash(read_sealed(folder / PLAN)), Journal(folder / STEPS)
    places: dict[str, Path] = {}
    for step, value in journal.read(quietly=quietly).items():
        match value:
            case [str(of), str(place)] if _is_place(place):
                if of == plan:  # lines of an earlier plan do not count
                    places[step] = folder / ARTIFACTS / place
            case _:
                raise ArtifactError(
                    f"{folder / STEPS}: step '{step}': {value!r} names no artifact; run the recipe again into {folder} to write it anew"
                )
    return Places(places, journal.fault)


def _is_place(text: str) -> bool:
    names = text.split("/")
    return len(names) == 2 and not {*names} & {"", ".", ".."}


def read_about(folder: Path) -> About:
    """Read whose run a folder holds. Raises ArtifactError where there is none."""
    return _read(folder / RUN, About, "expected the --out folder of `aya run`")


def read_kinds(folder: Path) -> Mapping[str, str]:
    """Read the kind of what each step of the last plan makes. Raises ArtifactError without a plan."""
    return {step.id: step.kind for step in _read_plan(folder).steps}


def stop_reason(guard: Artifact | None) -> str | None:
    """Why the steps behind a guard are not to be done; None where they are, or where the guard does not stand yet."""
    stop = None if guard is None else guard.measures.get("stop")
    return None if guard is None or stop is None else f"'{guard.node}' ended the rounds: {stop['reason']}"


LONGEST_NAME = 200
"""Bytes of a file's name; most file systems hold 255, of which endings take some."""


def file_name(id: str) -> str:
    """A step's id, or any other name, as the name of a file or folder: without slashes, and short enough."""
    name = id.replace("/", "--")
    if len(name.encode()) <= LONGEST_NAME:
        return name
    start = name.encode()[: LONGEST_NAME - 13].decode(errors="ignore")
    return f"{start}-{stable_hash(id)[:12]}"


def misplaced(artifact: Artifact) -> str | None:
    """Say that an artifact lies in the place of another; None for one that lies in its own."""
    folder, place = artifact.folder, f"{file_name(artifact.node)}/{artifact.fingerprint[:12]}"
    if place == _named(folder):
        return None
    return f"{folder}: holds the artifact that belongs in {place}: restore it, or delete {folder}"


def check_format(found: Any, file: Path) -> None:
    """Refuse what a newer version wrote. Raises ArtifactError."""
    if isinstance(found, Mapping) and found.get("format", FORMAT) != FORMAT:
        raise ArtifactError(
            f"{file}: has format {found['format']}, this version (aya-core {__version__}) reads {FORMAT}; "
            f"use the aya-core that made the run ({found.get('aya_core', 'unknown')}), or a newer one"
        )


def _plan(loaded: LoadedRecipe, plan: Plan) -> dict[str, Any]:
    context = {"registry": loaded.registry}
    stages = [
        {"name": stage.name, "do": stage.do, "settings": stage.model_dump(mode="json", context=context)}
        for stage in loaded.recipe.stages
    ]
    fields = RecordedStep.model_fields.keys() - {"settings"}
    steps = [
        {**{name: value for name, value in asdict(node).items() if name in fields}, "settings": node.identity}
        for node in plan.nodes.values()
    ]
    return {
        "format": FORMAT, "aya_core": __version__, "recipe": plan.recipe, "seed": loaded.recipe.seed,
        "stages": stages, "steps": steps, "names": plan.names,
    }  # fmt: skip


def _named(place: Path) -> str:
    return f"{place.parent.name}/{place.name}"


def _load(place: Path) -> Artifact:
    artifact = artifacts.load(place)
    if (fault := misplaced(artifact)) is not None:
        raise ArtifactError(fault)
    return artifact


def _read_plan(folder: Path) -> _PlanFile:
    return _read(folder / PLAN, _PlanFile, f"run the recipe again into {folder} to write it; nothing is done twice")


def _read(file: Path, shape: type[Shape], missing: str) -> Shape:
    if not file.is_file():
        raise ArtifactError(f"{file.parent}: no {file.name} here; {missing}")
    damaged = "restore it, or run the recipe again into another --out"
    try:
        found = read_sealed(file)
    except (DamageError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{error if isinstance(error, DamageError) else f'{file}: damaged'}; {damaged}") from None
    check_format(found, file)
    try:
        return shape.model_validate(found)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise ArtifactError(f"{file}: {where}: {error.errors()[0]['msg']}; {damaged}") from None
