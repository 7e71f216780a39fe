"""The runner: walks a plan, reuses what stands, has the rest done, and leaves a run folder that explains itself.

A run folder holds `run.json` (whose run it is), `recipe.yaml` (as it was run, overrides included),
`artifacts/NODE/FINGERPRINT/`, `logs/NODE.log`, `store/`, what steps keep for one another to save time, and, at the end, the
report. Killed anywhere, the next run finishes the work.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aya_core import artifacts, yaml12
from aya_core.artifacts import Artifact, content_of, stable_hash
from aya_core.errors import ArtifactError, NodeFailedError, PluginError
from aya_core.kinds import Tracker
from aya_core.plan import Node, Plan
from aya_core.recipe import LoadedRecipe
from aya_core.strategies import Strategy
from aya_core.tracking import LogReader, tracked

RUN = "run.json"

LOCK_SECONDS = 5.0
"""How long a run waits for what a killed one left behind; its processes end within moments."""


def file_name(id: str) -> str:
    """A node's id as the name of a folder; ids that name a model by its path have slashes."""
    return id.replace("/", "--")


class Run:
    """The folder of one recipe's runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, loaded: LoadedRecipe) -> None:
        """Check that the folder is this recipe's, or new. Raises ArtifactError for a folder of something else."""
        name = loaded.recipe.name
        if (self.folder / RUN).is_file():
            found = self.about()
            if found["recipe"] != name:
                raise ArtifactError(
                    f"{self.folder}: holds a run of the recipe '{found['recipe']}', not of '{name}'; choose another --out"
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ArtifactError(
                f"{self.folder}: holds something else than a run; choose an empty or new folder as --out"
            )

    def open(self, loaded: LoadedRecipe) -> None:
        """Make the folder's parts and say whose run it is."""
        for part in ("artifacts", "logs"):
            (self.folder / part).mkdir(exist_ok=True)
        self.note(recipe=loaded.recipe.name, source=loaded.source, folder=str(loaded.folder))
        (self.folder / "recipe.yaml").write_text(yaml12.dump(dict(loaded.raw)), encoding="utf-8")

    def about(self) -> dict[str, Any]:
        """What `run.json` says. Raises ArtifactError where there is none."""
        try:
            found = json.loads((self.folder / RUN).read_text())
            return {"recipe": found["recipe"], "folder": found["folder"], **found}
        except FileNotFoundError:
            raise ArtifactError(f"{self.folder}: no {RUN} here; expected the --out folder of `aya run`") from None
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(f"{self.folder / RUN}: damaged; restore it, or choose another --out") from None

    def note(self, **facts: Any) -> None:
        """Add facts to `run.json`."""
        known = json.loads((self.folder / RUN).read_text()) if (self.folder / RUN).is_file() else {}
        partial = self.folder / (RUN + ".partial")
        partial.write_text(json.dumps({**known, **facts}, indent=1))
        partial.rename(self.folder / RUN)

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Keep a second run out of the folder while this one, or a process that it left behind, works.

        Yields the lock's file descriptor, for these processes to hold on to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ArtifactError(
                            f"{self.folder}: another `aya run` is at work here; wait for it to end"
                        ) from None
                    time.sleep(0.05)
            yield file.fileno()

    @property
    def store(self) -> Path:
        """What the nodes keep for one another; no artifact depends on it, and it may be deleted between two runs."""
        return self.folder / "store"

    def place(self, node: Node, fingerprint: str) -> Path:
        """Where a node's artifact stands once it is made."""
        return self.folder / "artifacts" / file_name(node.id) / fingerprint[:12]


class Inventory:
    """What of a plan stands in a run folder already. Looks; changes nothing."""

    def __init__(self, run: Run, *, check: bool = False) -> None:
        self.run = run
        self.check = check
        self.standing: dict[str, Artifact] = {}
        self._external: dict[str, str] = {}

    def contents(self, node: Node) -> dict[str, str] | None:
        """Content hashes of a node's inputs by role; None while it is not the node's turn, or where it has nothing to do."""
        if not node.after <= set(self.standing) or self.stand_in(node) is not None:
            return None
        inside = {role: self._inside(self.standing[id], node.parts.get(role)) for role, id in node.inputs.items()}
        return {**inside, **{role: self._outside(path) for role, path in node.external.items()}}

    def paths(self, node: Node) -> dict[str, Path]:
        """Where a node's inputs lie, by role, once all of them stand."""
        inside = {role: self.standing[id].payload / node.parts.get(role, "") for role, id in node.inputs.items()}
        return inside | {role: Path(path) for role, path in node.external.items()}

    def fingerprint(self, node: Node, contents: Mapping[str, str]) -> str:
        """What makes a node's artifact what it is: action, settings, seed, plugins, and the content of its inputs."""
        made_of = {
            "format": artifacts.FORMAT, "action": node.action, "kind": node.kind, "settings": node.identity,
            "seed": node.seed, "plugins": node.plugins, "inputs": contents,
        }  # fmt: skip
        return stable_hash(made_of)

    def stand_in(self, node: Node) -> str | None:
        """The node whose artifact is this one's as well; None where it makes its own, or where its gate has not said yet."""
        if node.gate is None or node.gate not in self.standing:
            return None
        return node.instead if self.stop_reason(node) is not None else node.same_as

    def stop_reason(self, node: Node) -> str | None:
        """Why a node is not done; None where it is, or where its gate has not said yet."""
        gate = None if node.gate is None else self.standing.get(node.gate)
        stop = None if gate is None else gate.measures["stop"]
        return None if gate is None or stop is None else f"'{gate.node}' ended the rounds: {stop['reason']}"

    def look(self, node: Node) -> Artifact | None:
        """Find a node's artifact, or the one that stands in for it, and remember it. Raises ArtifactError for a damaged one."""
        if node.id in self.standing:
            return self.standing[node.id]
        other = self.stand_in(node)
        if other is not None:
            if other in self.standing:
                self.standing[node.id] = self.standing[other]
            return self.standing.get(other)
        contents = self.contents(node)
        if contents is None:
            return None
        folder = self.run.place(node, self.fingerprint(node, contents))
        if not folder.exists():
            return None
        artifact = artifacts.load(folder)
        if self.check:
            artifacts.verify(artifact)
        self.standing[node.id] = artifact
        return artifact

    def set_aside(self, artifact: Artifact) -> None:
        """Let a node be done again: what its artifact holds is taken over, what it lacks is asked for."""
        aside = artifact.folder.with_name(artifact.folder.name + ".before")
        shutil.rmtree(aside, ignore_errors=True)
        artifact.folder.rename(aside)
        del self.standing[artifact.node]

    def find_all(self, plan: Plan) -> dict[str, Artifact]:
        """Find every artifact of a plan that stands, by node id."""
        found = {id: self.look(node) for id, node in plan.nodes.items()}
        return {id: artifact for id, artifact in found.items() if artifact is not None}

    def _inside(self, artifact: Artifact, part: str | None) -> str:
        if part is None:
            return artifact.content
        if part in artifact.files:
            return str(artifact.files[part]["sha256"])
        return stable_hash(
            {name: file["sha256"] for name, file in artifact.files.items() if name.startswith(f"{part}/")}
        )

    def _outside(self, path: str) -> str:
        if path not in self._external:
            files = [Path(path)] if Path(path).exists() else sorted(map(Path, glob.glob(path, recursive=True)))
            self._external[path] = stable_hash(
                [[file.name if file.is_file() else "", content_of(file)] for file in files]
            )
        return self._external[path]


def check_imports(plan: Plan, loaded: LoadedRecipe, track: Sequence[Strategy[Tracker]] = ()) -> None:
    """Refuse a plan whose strategies need modules that are not installed. Imports nothing heavy.

    track: trackers beside those of the recipe.
    """
    wanted = [(f"stages.{node.stage}", (*node.imports, *node.needs)) for node in plan.nodes.values()]
    wanted += [("trackers", (*tracker.imports, *tracker.needs)) for tracker in (*loaded.recipe.trackers, *track)]
    for where, modules in wanted:
        for module in modules:
            top = module.split(".")[0]
            if importlib.util.find_spec(top) is None:
                install = _how_to_install(module, loaded)
                raise PluginError(f"{loaded.source}: {where}: needs the module '{top}'; {install}")


def _how_to_install(module: str, loaded: LoadedRecipe) -> str:
    """Name the extra that brings a module: of the distribution whose strategy asks for it."""
    for kind, strategies in loaded.registry.strategies.items():
        for name, strategy in strategies.items():
            if module in (*strategy.imports, *strategy.needs) and strategy.extra:
                distribution = loaded.registry.origin(kind, name).distribution
                return f'install the extra: pip install "{distribution}[{strategy.extra}]"'
    return f"install {module.split('.')[0]}"


def _is_incomplete(artifact: Artifact) -> bool:
    """Whether some prompts have no answer here, or some verdicts failed."""
    return bool(artifact.measures.get("unanswered") or artifact.measures.get("failed"))


class Runner:
    """Does the nodes of a plan that do not stand yet, independent ones at the same time.

    ask_again: do those again, too, in which prompts went unanswered or verdicts failed, for what is missing alone.
    track: trackers beside those of the recipe.
    """

    def __init__(
        self, loaded: LoadedRecipe, plan: Plan, folder: Path, *, ask_again: bool = False,
        track: Sequence[Strategy[Tracker]] = (),
    ) -> None:  # fmt: skip
        self.ask_again = ask_again
        self.track = track
        self.logs: dict[str, LogReader] = {}
        self.asked_again: set[str] = set()
        self.loaded = loaded
        self.plan = plan
        self.run = Run(folder)
        self.inventory = Inventory(self.run, check=True)
        self.hook = loaded.registry.manager.hook

    def go(self) -> Mapping[str, Artifact]:
        """Make every artifact of the plan; return them by node id.

        Raises NodeFailedError when a node fails, after the nodes that were at work beside it are done.
        """
        check_imports(self.plan, self.loaded, self.track)
        self.run.check(self.loaded)
        with self.run.lock() as lock:
            self.run.open(self.loaded)
            started = time.monotonic()
            trackers = (*self.loaded.recipe.trackers, *self.track)
            try:
                waiting = dict(self.plan.nodes)
                self._reuse(waiting)
                if waiting:
                    with tracked(self.loaded, trackers, self.run.folder):
                        self._work(waiting, lock)
            finally:
                spent = self.run.about().get("seconds", 0.0) + time.monotonic() - started
                self.run.note(seconds=spent)
        return {id: self.inventory.standing[id] for id in self.plan.nodes}

    def _reuse(self, waiting: dict[str, Node]) -> None:
        for node in list(waiting.values()):
            artifact = self._look(node)
            if artifact is not None:
                del waiting[node.id]
                self._finished(node, artifact, reused=True)

    def _look(self, node: Node) -> Artifact | None:
        """Find what stands; what is incomplete is set aside, once, where it is to be asked again."""
        artifact = self.inventory.look(node)
        if artifact is None or not self.ask_again or node.id in self.asked_again or not _is_incomplete(artifact):
            return artifact
        if artifact.node != node.id:  # it has been looked at as what it is
            return artifact
        self.asked_again.add(node.id)
        self.inventory.set_aside(artifact)
        return None

    def _work(self, waiting: dict[str, Node], lock: int) -> None:
        at_work: dict[str, Node] = {}
        failures: dict[str, str] = {}
        with _Pool(self.loaded, self.plan, lock) as pool:
            while waiting or at_work:
                self._start(waiting, at_work, pool, only_sampling=bool(failures))
                if not at_work:
                    break
                event = pool.event()
                node = at_work[event["node"]]
                self._read_log(node)
                if event["event"] == "progress":
                    self.hook.aya_progress(
                        node=node.id, done=event["done"], total=event["total"], measures=event["measures"]
                    )
                elif event["event"] == "failed":
                    self._failed(node, failures, event["message"], event["mistake"])
                else:
                    del at_work[node.id]
                    artifact = self.inventory.look(node) if event["code"] == 0 else None
                    if artifact is not None:
                        self._finished(node, artifact, reused=False)
                    elif node.id not in failures:
                        self._failed(node, failures, f"its process ended with code {event['code']}", False)
        if failures:
            raise NodeFailedError("\n".join(failures.values()))

    def _start(self, waiting: dict[str, Node], at_work: dict[str, Node], pool: _Pool, *, only_sampling: bool) -> None:
        """Start what can start. only_sampling: when one teacher has died, the others of the pool still answer."""
        for node in list(waiting.values()):
            if self.inventory.stand_in(node) is not None and (other := self._look(node)) is not None:
                del waiting[node.id]
                self._finished(node, other, reused=True)
                continue
            if only_sampling and node.action != "sample":
                continue
            here = sum(not other.elsewhere for other in at_work.values())
            if not node.elsewhere and here >= self.loaded.recipe.machine.jobs:
                continue
            contents = self.inventory.contents(node)
            if contents is None:
                continue
            del waiting[node.id]
            artifact = self._look(node)
            if artifact is not None:  # its inputs were made anew and came out the same
                self._finished(node, artifact, reused=True)
                continue
            inputs = self.inventory.paths(node)
            fingerprint = self.inventory.fingerprint(node, contents)
            folder = self.run.place(node, fingerprint)
            folder.parent.mkdir(parents=True, exist_ok=True)
            at_work[node.id] = node
            self.logs[node.id] = LogReader(folder)
            self.hook.aya_stage_started(node=node.id, action=node.action, inputs=inputs)
            pool.start(
                {
                    "node": asdict(node),
                    "inputs": {role: str(path) for role, path in inputs.items()},
                    "contents": contents,
                    "fingerprint": fingerprint,
                    "folder": str(folder),
                    "store": str(self.run.store),
                    "log": str(self._log(node)),
                }
            )

    def _read_log(self, node: Node) -> None:
        if self.hook.aya_measured.get_hookimpls():
            for done, total, measures in self.logs[node.id].lines():
                self.hook.aya_measured(node=node.id, done=done, total=total, measures=measures)

    def _finished(self, node: Node, artifact: Artifact, *, reused: bool) -> None:
        if artifact.node != node.id:
            self.hook.aya_stage_skipped(node=node.id, instead=artifact.node, why=self.inventory.stop_reason(node))
            return
        self.hook.aya_stage_finished(
            node=node.id, artifact=artifact.folder, seconds=artifact.seconds, reused=reused, measures=artifact.measures
        )

    def _log(self, node: Node) -> Path:
        return self.run.folder / "logs" / f"{file_name(node.id)}.log"

    def _failed(self, node: Node, failures: dict[str, str], message: str, is_mistake: bool) -> None:
        told = f"{self.loaded.source}: stages.{node.stage}: step '{node.id}'"
        if is_mistake:
            told = f"{told}: {message}"
        else:
            told = f"{told} failed: {message}\nIts log, traceback included, is {self._log(node)}. What was finished is kept."
        failures[node.id] = told
        self.hook.aya_stage_failed(node=node.id, message=told)


class _Pool:
    """The worker process, spoken to over pipes. Started on entry; every child of it is gone on exit."""

    def __init__(self, loaded: LoadedRecipe, plan: Plan, lock: int) -> None:
        self.lock = lock
        threads = loaded.recipe.machine.threads
        self.environment = dict(os.environ)
        if threads is not None:
            for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
                self.environment[variable] = str(threads)
        self.environment.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not outlive a fork
        imports = dict.fromkeys(module for node in plan.nodes.values() for module in node.imports)
        plugins = [str(file) for file in loaded.registry.files]
        self.setup = {"imports": list(imports), "plugins": plugins}

    def __enter__(self) -> _Pool:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "aya_core.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
            start_new_session=True, pass_fds=[self.lock],
        )  # fmt: skip
        self.start(self.setup)
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, job: Mapping[str, Any]) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # that there is no event tells
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise NodeFailedError(
                f"the worker process ended with code {self.process.wait()}; what it said stands above. What was finished is kept."
            )
        event: dict[str, Any] = json.loads(line)
        return event
