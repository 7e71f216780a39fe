"""The runner: walks a plan, reuses what stands, and has the rest done. Killed anywhere, the next run finishes the work."""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from aya_core.contract import durable
from aya_core.contract.artifacts import Artifact
from aya_core.contract.errors import STOPPED, AyaError, NodeFailedError, PluginError, StoppedError
from aya_core.contract.kinds import Tracker
from aya_core.contract.processes import how_it_ended
from aya_core.contract.strategies import Strategy
from aya_core.contract.trouble import os_sentence
from aya_core.planning.plan import Node, Plan
from aya_core.planning.recipe import LoadedRecipe
from aya_core.running.changes import at_stake, refuse
from aya_core.running.inventory import Inventory
from aya_core.running.machine import check_machine
from aya_core.running.pool import WorkerPool
from aya_core.running.record import Recorder, read_about
from aya_core.running.run_folder import Run
from aya_core.running.tracking import LogReader, tracked


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
    """Whether some prompts have no answer here, or an empty one, or some verdicts failed."""
    return any(artifact.measures.get(name) for name in ("unanswered", "empty", "failed"))


class Runner:
    """Does the nodes of a plan that do not stand yet, independent ones at the same time.

    ask_again: do those again, too, in which prompts went unanswered, answers are empty or verdicts failed, for what is missing alone.
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
        self.is_stopping = False
        self.loaded = loaded
        self.plan = plan
        self.run = Run(folder)
        self.inventory = Inventory(self.run, check=True)
        self.recorder: Recorder | None = None
        self.hook = loaded.registry.manager.hook

    def go(self) -> Mapping[str, Artifact]:
        """Make every artifact of the plan; return them by node id.

        Raises NodeFailedError when a node fails, after the nodes that were at work beside it are done, StoppedError when this process gets
        a SIGTERM, after the nodes at work have saved what they can, and AyaError before any work
        where it has to be said what becomes of answers (see `changed_code`).
        """
        check_imports(self.plan, self.loaded, self.track)
        self._check_hub_models()
        self.run.check(self.loaded)
        with self.run.lock() as lock:
            self.run.open(self.loaded)
            started = time.monotonic()
            trackers = (*self.loaded.recipe.trackers, *self.track)
            try:
                waiting = dict(self.plan.nodes)
                self._reuse(waiting)
                check_machine(self.plan, self.loaded, waiting)
                if self.changed_code is None:
                    self._refuse_to_ask_anew(waiting.values())
                self.recorder = Recorder(self.run.folder, self.loaded, self.plan.whole, self._found())
                if waiting:
                    with tracked(self.loaded, trackers, self.run.folder):
                        self._work(waiting, lock)
                    for id, artifact in self._found().items():
                        self.recorder.stands(id, artifact)
            except BaseException as error:
                self._close(started, error)
                raise
            self._close(started)
        return {id: self.inventory.standing[id] for id in self.plan.nodes}

    def _close(self, started: float, error: BaseException | None = None) -> None:
        """End the record. error: why the run ends; a disk that is full, and so takes no record either, must not hide it."""
        try:
            if self.recorder is not None:
                self.recorder.close()
            spent = read_about(self.run.folder).seconds + time.monotonic() - started
            self.run.note(seconds=spent)
        except (OSError, AyaError) as trouble:
            if error is None:
                raise
            why = os_sentence(trouble) if isinstance(trouble, OSError) else str(trouble)
            error.add_note(f"the record of the run could not be ended either: {why}")

    def _check_hub_models(self) -> None:
        """Raise AyaError where a model of the hub is not known, before any work."""
        for node in self.plan.nodes.values():
            for role, path in node.external.items():
                if self.inventory.content_outside(path) is None:
                    raise AyaError(
                        f"{self.loaded.source}: stages.{node.stage}: step '{node.id}': {role}: {self.inventory.unresolved[path]}"
                    )

    def _reuse(self, waiting: dict[str, Node]) -> None:
        for node in list(waiting.values()):
            artifact = self._look(node)
            if artifact is not None:
                del waiting[node.id]
                self._finished(node, artifact, reused=True)

    def _refuse_to_ask_anew(self, waiting: Iterable[Node]) -> None:
        found = (at_stake(node, self.run.folders(node), self.inventory.known_contents(node)) for node in waiting)
        refuse(one for one in found if one is not None)

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
        try:
            with WorkerPool(self.loaded, self.plan, lock) as pool, self._stopping_on_sigterm(pool):
                while waiting or at_work:
                    if not self.is_stopping:
                        self._start(waiting, at_work, pool, only_asking=bool(failures))
                    if not at_work:
                        break
                    self._hear(pool, at_work, failures)
        except (OSError, NodeFailedError) as error:  # of the record, or the worker's death
            if not (
                self.is_stopping and isinstance(error, NodeFailedError)
            ):  # told before the worker had begun to serve
                why = os_sentence(error) if isinstance(error, OSError) else str(error)
                others = f" (at work: {', '.join(at_work)})" if at_work else ""
                raise NodeFailedError(
                    "\n".join([*failures.values(), f"{self.loaded.source}: {why}{others}"])
                ) from error
        if failures:
            raise NodeFailedError("\n".join(failures.values()))
        if self.is_stopping:
            raise StoppedError(
                f"{self.run.folder}: told to stop (SIGTERM); what was done is kept, training has saved its state, and the same command "
                "goes on from there"
            )

    @contextmanager
    def _stopping_on_sigterm(self, pool: WorkerPool) -> Iterator[None]:
        """Have a SIGTERM to this process tell the nodes at work to stop. Only the main thread of a process can hear it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            self.is_stopping = True
            pool.stop()

        before = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _hear(self, pool: WorkerPool, at_work: dict[str, Node], failures: dict[str, str]) -> None:
        """Take what the worker says next of a node."""
        event = pool.event()
        node = at_work[event["node"]]
        self._read_log(node)
        if event["event"] == "progress":
            self.hook.aya_progress(node=node.id, done=event["done"], total=event["total"], measures=event["measures"])
        elif event["event"] == "failed":
            self._failed(node, failures, event["message"], event["mistake"])
        else:
            del at_work[node.id]
            artifact = self.inventory.look(node) if event["code"] == 0 else None
            if artifact is not None:
                self._finished(node, artifact, reused=False)
            elif event["code"] == STOPPED:  # told by someone else, perhaps: then all are
                self.is_stopping = True
                pool.stop()
            elif node.id not in failures and not self.is_stopping:
                self._failed(node, failures, f"its process {how_it_ended(event['code'])}", False)

    def _start(
        self, waiting: dict[str, Node], at_work: dict[str, Node], pool: WorkerPool, *, only_asking: bool
    ) -> None:
        """Start what can start. only_asking: when one teacher has died, the others of the pool still answer."""
        for node in list(waiting.values()):
            if self.inventory.substitute(node) is not None and (other := self._look(node)) is not None:
                del waiting[node.id]
                self._finished(node, other, reused=True)
                continue
            if only_asking and not self._asks(node):
                continue
            here = sum(not other.remote for other in at_work.values())
            if not node.remote and here >= self.loaded.recipe.machine.jobs:
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
            self.hook.aya_step_started(node=node.id, action=node.action, inputs=inputs)
            pool.start(
                {
                    "node": asdict(node),
                    "inputs": {role: str(path) for role, path in inputs.items()},
                    "contents": contents,
                    "fingerprint": fingerprint,
                    "folder": str(folder),
                    "store": str(self.run.store),
                    "log": str(self.run.log(node)),
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
            self.hook.aya_step_skipped(node=node.id, fallback=artifact.node, why=self.inventory.stop_reason(node))
            return
        self.hook.aya_step_finished(
            node=node.id, artifact=artifact.folder, seconds=artifact.seconds, reused=reused, measures=artifact.measures
        )

    def _failed(self, node: Node, failures: dict[str, str], message: str, is_mistake: bool) -> None:
        text = f"{self.loaded.source}: stages.{node.stage}: step '{node.id}'"
        if is_mistake:
            text = f"{text}: {message}"
        else:
            text = f"{text} failed: {message}\nIts log, traceback included, is {self.run.log(node)}. What was finished is kept."
        failures[node.id] = text
        self.hook.aya_step_failed(node=node.id, message=text)
