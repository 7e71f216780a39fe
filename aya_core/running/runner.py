"""The runner: walks a plan, reuses what stands, has the rest done, and leaves a run folder that explains itself.

A run folder holds `run.json` (whose run it is), `plan.json` and `steps.jsonl` (see `record.py`), `recipe.yaml` (as it was run,
overrides included), `artifacts/NODE/FINGERPRINT/`, `logs/NODE.log`, `store/`, what steps keep for one another to save time,
and, at the end, the report. Killed anywhere, the next run finishes the work.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TextIO

from aya_core.contract import artifacts, durable
from aya_core.contract.artifacts import Artifact, content_of, stable_hash
from aya_core.contract.errors import ArtifactError, DamageError, NodeFailedError, PluginError
from aya_core.contract.hashes import Hashes
from aya_core.contract.kinds import Tracker
from aya_core.contract.strategies import Strategy
from aya_core.planning import yaml12
from aya_core.planning.plan import Node, Plan
from aya_core.planning.recipe import LoadedRecipe
from aya_core.running import changed_code
from aya_core.running.record import ARTIFACTS, FORMAT, RUN, Recorder, check_format, file_name
from aya_core.running.tracking import LogReader, tracked

HASHES = "hashes.jsonl"
"""Hashes of files that are read often, so that they are not."""

LOCK = ".lock"

BEFORE = ".before"
"""Ends the name of an artifact that is asked for again."""

LOOK_SECONDS = 0.5
"""Between two looks at whether the worker lives, while it says nothing."""

LOCK_SECONDS = 5.0
"""How long a run waits for what a killed one left behind; its processes end within moments."""


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
        elif self.folder.exists() and (not self.folder.is_dir() or any(map(_is_not_ours, self.folder.iterdir()))):
            raise ArtifactError(
                f"{self.folder}: holds something else than a run; choose an empty or new folder as --out"
            )

    def open(self, loaded: LoadedRecipe) -> None:
        """Make the folder's parts and say whose run it is."""
        # First of all, as it says what this folder is.
        self.note(format=FORMAT, recipe=loaded.recipe.name, source=loaded.source, folder=str(loaded.folder))
        for part in (ARTIFACTS, "logs"):
            durable.make_folder(self.folder / part)
        durable.write_file(self.folder / "recipe.yaml", yaml12.dump(dict(loaded.raw)))

    def about(self) -> dict[str, Any]:
        """What `run.json` says. Raises ArtifactError where there is none."""
        try:
            found = durable.read_sealed(self.folder / RUN)
            check_format(found, self.folder / RUN)
            return {"recipe": found["recipe"], "folder": found["folder"], **found}
        except FileNotFoundError:
            raise ArtifactError(f"{self.folder}: no {RUN} here; expected the --out folder of `aya run`") from None
        except (DamageError, ValueError, KeyError):
            raise ArtifactError(f"{self.folder / RUN}: damaged; restore it, or choose another --out") from None

    def note(self, **facts: Any) -> None:
        """Add facts to `run.json`."""
        known = self.about() if (self.folder / RUN).is_file() else {}
        durable.write_sealed(self.folder / RUN, {**known, **facts})

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Keep a second run out of the folder while this one, or a process that it left behind, works.

        Yields the lock's file descriptor, for these processes to hold on to.
        """
        durable.make_folder(self.folder)
        with (self.folder / LOCK).open("a+") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ArtifactError(
                            f"{self.folder}: another `aya run` is at work here ({_holder(file)}); wait for it to end"
                        ) from None
                    time.sleep(0.05)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
            file.flush()
            yield file.fileno()

    def at_work(self) -> str | None:
        """Who works in the folder; None where nobody does."""
        if not (self.folder / LOCK).is_file():
            return None
        with (self.folder / LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(file)
        return None

    @property
    def store(self) -> Path:
        """What the nodes keep for one another; no artifact depends on it, and it may be deleted between two runs."""
        return self.folder / "store"

    def place(self, node: Node, fingerprint: str) -> Path:
        """Where a node's artifact stands once it is made."""
        return self.folder / ARTIFACTS / file_name(node.id) / fingerprint[:12]

    def folders(self, node: Node) -> list[Path]:
        """All that was made for a node, finished or not, newest first."""
        place = self.folder / "artifacts" / file_name(node.id)
        found = [folder for folder in place.iterdir() if folder.is_dir()] if place.is_dir() else []
        return sorted(found, key=lambda folder: (-folder.stat().st_mtime_ns, folder.name))


def _is_not_ours(path: Path) -> bool:
    """Whether something lies in a folder that a run does not leave there before it has written `run.json`."""
    return path.name != LOCK and not path.match(f".{RUN}.*{durable.PARTIAL}")


def _holder(lock: TextIO) -> str:
    """Who took a lock last."""
    lock.seek(0)
    return lock.read().strip() or "it does not say who it is"


class Inventory:
    """What of a plan stands in a run folder already. Looks, and remembers what it hashed; changes nothing else.

    check: compare files with their manifests, and read those whose size or time of change is another. known: what another inventory of
    the run has found.
    """

    def __init__(self, run: Run, *, check: bool = False, known: Inventory | None = None) -> None:
        self.run = run
        self.check = check
        self.standing: dict[str, Artifact] = {} if known is None else dict(known.standing)
        self._external: dict[str, str] = {} if known is None else known._external

    @cached_property
    def hashes(self) -> Hashes:
        """What is known of files; kept in the run folder, once there is one."""
        return Hashes(self.run.folder / HASHES if (self.run.folder / RUN).is_file() else None)

    def contents(self, node: Node) -> dict[str, str] | None:
        """Content hashes of a node's inputs by role; None while it is not the node's turn, or where it has nothing to do."""
        if not node.after <= set(self.standing) or self.stand_in(node) is not None:
            return None
        return self.known_contents(node)

    def known_contents(self, node: Node) -> dict[str, str]:
        """Content hashes of those of a node's inputs that stand, by role."""
        standing = {role: self.standing[id] for role, id in node.inputs.items() if id in self.standing}
        inside = {role: self._inside(artifact, node.parts.get(role)) for role, artifact in standing.items()}
        return {**inside, **{role: self._outside(path) for role, path in node.external.items()}}

    def paths(self, node: Node) -> dict[str, Path]:
        """Where a node's inputs lie, by role, once all of them stand."""
        inside = {role: self.standing[id].payload / node.parts.get(role, "") for role, id in node.inputs.items()}
        return inside | {role: Path(path) for role, path in node.external.items()}

    def fingerprint(self, node: Node, contents: Mapping[str, str]) -> str:
        """What makes a node's artifact what it is: action, settings, seed, code, and the content of its inputs."""
        made_of = {
            "format": artifacts.FORMAT, "action": node.action, "kind": node.kind, "settings": node.identity,
            "seed": node.seed, "code": node.code, "inputs": contents,
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
        artifact = artifacts.load(
            folder, node=node.id, kind=node.kind, seed=node.seed, fingerprint=self.fingerprint(node, contents)
        )
        if self.check:
            artifacts.verify(artifact, self.hashes)
        self.standing[node.id] = artifact
        return artifact

    def set_aside(self, artifact: Artifact) -> None:
        """Let a node be done again: what its artifact holds is taken over, what it lacks is asked for."""
        aside = artifact.folder.with_name(artifact.folder.name + BEFORE)
        shutil.rmtree(aside, ignore_errors=True)
        durable.rename(artifact.folder, aside)
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
                [[file.name if file.is_file() else "", content_of(file, self.hashes.of)] for file in files]
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
    track: trackers beside those of the recipe. changed_code: what becomes of answers and verdicts whose code has changed since: they
    are taken over, or asked for anew; None does nothing where there are any.
    """

    def __init__(
        self, loaded: LoadedRecipe, plan: Plan, folder: Path, *, ask_again: bool = False,
        track: Sequence[Strategy[Tracker]] = (), changed_code: Literal["keep", "redo"] | None = None,
    ) -> None:  # fmt: skip
        self.ask_again = ask_again
        self.changed_code = changed_code
        self.track = track
        self.logs: dict[str, LogReader] = {}
        self.asked_again: set[str] = set()
        self.loaded = loaded
        self.plan = plan
        self.run = Run(folder)
        self.inventory = Inventory(self.run, check=True)
        self.recorder: Recorder | None = None
        self.hook = loaded.registry.manager.hook

    def go(self) -> Mapping[str, Artifact]:
        """Make every artifact of the plan; return them by node id.

        Raises NodeFailedError when a node fails, after the nodes that were at work beside it are done, and AyaError before any work
        where it has to be said what becomes of answers (see `changed_code`).
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
                if self.changed_code is None:
                    self._refuse_to_ask_anew(waiting.values())
                self.recorder = Recorder(self.run.folder, self.loaded, self.plan.whole, self._found())
                if waiting:
                    with tracked(self.loaded, trackers, self.run.folder):
                        self._work(waiting, lock)
                    for id, artifact in self._found().items():
                        self.recorder.stands(id, artifact)
            finally:
                if self.recorder is not None:
                    self.recorder.close()
                spent = self.run.about().get("seconds", 0.0) + time.monotonic() - started
                self.run.note(seconds=spent)
        return {id: self.inventory.standing[id] for id in self.plan.nodes}

    def _reuse(self, waiting: dict[str, Node]) -> None:
        for node in list(waiting.values()):
            artifact = self._look(node)
            if artifact is not None:
                del waiting[node.id]
                self._finished(node, artifact, reused=True)

    def _refuse_to_ask_anew(self, waiting: Iterable[Node]) -> None:
        found = (
            changed_code.at_stake(node, self.run.folders(node), self.inventory.known_contents(node)) for node in waiting
        )
        changed_code.refuse([one for one in found if one is not None])

    def _found(self) -> Mapping[str, Artifact]:
        """What stands of the whole recipe, what this run does not need included."""
        return Inventory(self.run, known=self.inventory).find_all(self.plan.whole)

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
                self._start(waiting, at_work, pool, only_asking=bool(failures))
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

    def _start(self, waiting: dict[str, Node], at_work: dict[str, Node], pool: _Pool, *, only_asking: bool) -> None:
        """Start what can start. only_asking: when one teacher has died, the others of the pool still answer."""
        for node in list(waiting.values()):
            if self.inventory.stand_in(node) is not None and (other := self._look(node)) is not None:
                del waiting[node.id]
                self._finished(node, other, reused=True)
                continue
            if only_asking and not self._asks(node):
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
            durable.make_folder(folder.parent)
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
                    "keep": self.changed_code == "keep",
                }
            )

    def _asks(self, node: Node) -> bool:
        action = self.loaded.registry.actions.get(node.action)  # none for a node that only passes another's artifact on
        return action is not None and action.asks

    def _read_log(self, node: Node) -> None:
        if self.hook.aya_measured.get_hookimpls():
            for done, total, measures in self.logs[node.id].lines():
                self.hook.aya_measured(node=node.id, done=done, total=total, measures=measures)

    def _finished(self, node: Node, artifact: Artifact, *, reused: bool) -> None:
        if self.recorder is not None:
            self.recorder.stands(node.id, artifact)
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
        self.children: dict[str, int] = {}
        self.buffer = b""

    def __enter__(self) -> _Pool:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "aya_core.running.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
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
        for child in self.children.values():  # a worker that was killed left them
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        self.process.stdout.close()

    def start(self, job: Mapping[str, Any]) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # that there is no event tells
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = json.loads(self._line())
            if event["event"] == "started":
                self.children[event["node"]] = event["process"]
                continue
            if event["event"] == "exit":
                del self.children[event["node"]]
            return event

    def _line(self) -> bytes:
        """Wait for a line, and for the worker's end as well: a child of one that was killed may hold the pipe open."""
        assert self.process.stdout
        pipe = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if select.select([pipe], [], [], LOOK_SECONDS)[0]:
                said = os.read(pipe, 65536)
                self.buffer += said
                if said:
                    continue
            elif self.process.poll() is None:
                continue
            raise NodeFailedError(
                f"the worker process ended with code {self.process.wait()} (-9 is often a lack of memory); what it said stands above. "
                "What was finished is kept, and the same command goes on from there."
            )
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line
