"""The process that does nodes: it imports the heavy libraries once, then forks a child for each node.

A node in a process of its own gives all its memory back, can crash alone, and never shares a device with another
engine. A fork of a process that has the imports behind it starts in milliseconds instead of seconds. The parent
process never starts a thread nor touches a device before it forks.

Spoken to over pipes, a JSON object a line: first the set-up, then jobs; back come events `started`, `progress`,
`failed` and `exit`. When the pipe closes, because the run ended or was killed, every child is killed. A SIGTERM is
passed on to the children: those whose action saves go on to a place where they can, and end with the code STOPPED;
others end at once.
Where the worker itself is killed, its children find their own pipe to it closed, and end with all that they started.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from aya_core.contract import artifacts
from aya_core.contract.errors import STOPPED, AyaError, PluginError, StoppedError
from aya_core.contract.explain import SettingsError
from aya_core.contract.trouble import machine_trouble
from aya_core.contract.visible import write_visibly
from aya_core.planning.hub import fetch, hub_model
from aya_core.planning.plan import Node
from aya_core.planning.registry import Registry
from aya_core.running.garbage import look_seldom
from aya_core.running.work import Work

LINE_LIMIT = 4000
"""Bytes of an event: below PIPE_BUF, so that lines of several children never mix."""

LOG_MODE = 0o666
"""Of logs, less what the user's umask takes: without it the system would make them executable."""

MIN_REPORT_SECONDS = 0.2
"""Progress of a node is told at most this often."""


def main() -> None:
    """Serve until standard input closes."""
    events = os.dup(1)
    os.dup2(2, 1)  # what libraries print is not an event
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides what an interrupt means
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    sys.path.append(os.getcwd())  # for checks of the user's; last, so that no file there stands in for a library
    lines = _Lines()
    received: list[Any] = []
    while not received:
        try:
            received = lines.read()
        except EOFError:  # the runner has ended before it said anything
            return
    setup, *jobs = received
    is_serving = threading.Event()
    watcher = threading.Thread(target=_end_with_runner, args=(is_serving,), daemon=True)
    watcher.start()
    registry = Registry([Path(file) for file in setup["plugins"]])
    _ = registry.strategies, registry.actions  # fills the caches that every child inherits
    for module in ("pyarrow.parquet", *setup["imports"]):
        importlib.import_module(module)
    sys.modules["pyarrow"].Table.from_pylist([{"warm": 1}])  # on first use it imports pandas, where that is installed
    is_serving.set()
    watcher.join()  # before anything is forked
    gc.collect()
    gc.freeze()  # what was imported is never garbage: children need not look at it again, and share its pages
    look_seldom()
    _serve(lines, jobs, registry, events, told)
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's own end, at which libraries complain of what they left (triton's bindings do).
    os._exit(0)


def _end_with_runner(is_serving: threading.Event) -> None:
    """End this process when the runner does, while it imports what steps need and reads nothing: it would hold the run's lock."""
    pipe = select.poll()
    pipe.register(0, 0)  # that the other end is closed is told unasked
    while not is_serving.wait(0.2):
        if pipe.poll(0) and not is_serving.is_set():
            os._exit(1)


class _Lines:
    """Lines from standard input, as they come."""

    def __init__(self) -> None:
        self.half = b""

    def read(self) -> list[Any]:
        """Wait for more, and return the lines that are whole. Raises EOFError where the other end is closed."""
        chunk = os.read(0, 65536)
        if not chunk:
            raise EOFError
        *lines, self.half = (self.half + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


def _serve(lines: _Lines, jobs: Sequence[Any], registry: Registry, events: int, told: list[int]) -> None:
    """Fork a child for each job, until the pipe closes. jobs: the first ones. told: the signals to stop, as they come."""
    is_stopping = False
    life = os.pipe()
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(alarm)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    children: dict[int, str] = {}
    while True:
        for job in jobs:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the child knows what it means to it
            pid = os.fork()
            if pid == 0:
                _child(job, registry, events, life)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            children[pid] = job["node"]["id"]
            _tell(events, "started", children[pid], process=pid)
            if is_stopping:
                os.kill(pid, signal.SIGTERM)
        if told:
            told.clear()
            is_stopping = True
            for pid in children:  # none is reaped yet, so each number is still a child's
                os.kill(pid, signal.SIGTERM)
        ready = {key.fd for key, _ in selector.select()}
        if wake in ready:
            os.read(wake, 4096)
            _reap(children, events)
        try:
            jobs = lines.read() if 0 in ready else []
        except EOFError:
            _kill(children)
            return


def _reap(children: dict[int, str], events: int) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid in children:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # engines that it started and left
            _tell(events, "exit", children.pop(pid), code=os.waitstatus_to_exitcode(status))


def _kill(children: Mapping[int, str]) -> None:
    for pid in children:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)  # it has not made its group yet


def _child(job: Mapping[str, Any], registry: Registry, events: int, life: tuple[int, int]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)  # so that engines it starts end with it
        _end_with_worker(life)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        told: list[int] = []
        is_asked = registry.actions[job["node"]["action"]].stops
        signal.signal(signal.SIGTERM, (lambda number, frame: told.append(number)) if is_asked else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
        os.dup2(log, 1)
        os.dup2(log, 2)
        write_visibly()
        code = _do(job, registry, events, lambda: bool(told))
    except BaseException as error:
        code = _failed(events, job["node"]["id"], error, has_log=False)
    finally:
        with suppress(OSError):  # the disk may be full
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with_worker(life: tuple[int, int]) -> None:
    """Have this process, and those that it starts, killed when the worker ends, however it does.

    life: both ends of a pipe that nobody writes to. Once the children have closed the end for writing, the worker alone holds it.
    """
    read, write = life
    os.close(write)

    def wait() -> None:
        os.read(read, 1)  # returns at its end: the system has closed the other side
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _do(job: Mapping[str, Any], registry: Registry, events: int, stopping: Callable[[], bool]) -> int:
    node = Node(**job["node"])
    reported = 0.0

    def report(done: int, total: int, measures: Mapping[str, float]) -> None:
        nonlocal reported
        if (now := time.monotonic()) - reported >= MIN_REPORT_SECONDS:
            reported = now
            _tell(events, "progress", node.id, done=done, total=total, measures=dict(measures))

    try:
        inputs = {role: Path(path) for role, path in job["inputs"].items()}
        for role, path in node.external.items():
            if (model := hub_model(path)) is not None:
                inputs[role] = fetch(model, job["contents"][role])
        do(node, registry, inputs, Path(job["folder"]), job, report, stopping=stopping)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    except BaseException as error:
        return _failed(events, node.id, error)
    return 0


def _failed(events: int, node: str, error: BaseException, *, has_log: bool = True) -> int:
    """Tell why a node failed, then write it to its log, which a full disk may not hold. Returns the exit code.

    has_log: whether what is printed goes there, and not to the terminal.
    """
    if isinstance(error, (AyaError, SettingsError)):
        _tell(events, "failed", node, mistake=True, message=str(error))
        with suppress(OSError):
            print(error, file=sys.stderr)
        return 2
    if (trouble := machine_trouble(error)) is not None:
        _tell(events, "failed", node, mistake=True, message=f"{trouble}. What was finished is kept.")
        if not has_log:
            return 1
    else:
        _tell(events, "failed", node, mistake=False, message=f"{type(error).__name__}: {error}")
    with suppress(OSError):
        traceback.print_exc()
    return 1


def do(
    node: Node, registry: Registry, inputs: Mapping[str, Path], folder: Path, record: Mapping[str, Any], report: Any,
    *, make_work: Callable[..., Work] = Work, stopping: Callable[[], bool] = lambda: False,
) -> artifacts.Artifact:  # fmt: skip
    """Do one node and give its artifact its final name.

    record: `fingerprint` and `contents` of the inputs, where the run has one its `store`, and whether to `keep` (see `Work`).
    make_work: of the same arguments as `Work`. stopping: see `Work`. Raises PluginError for an action whose measures JSON cannot hold.
    """
    started = time.perf_counter()
    if (sealed := artifacts.take_up(folder, record["fingerprint"])) is not None:
        return sealed
    action = registry.actions[node.action]
    partial = artifacts.begin(folder, keep_payload=action.resumes)
    store = Path(record["store"]) if "store" in record else None
    work = make_work(node, registry, inputs, partial, report, record["contents"], store, record.get("keep", False))
    measures = _checked(node, action.run(replace(work, stopping=stopping)))
    return artifacts.finish(
        folder, node=node.id, kind=node.kind, fingerprint=record["fingerprint"], inputs=record["contents"],
        settings={"action": node.action, **node.settings}, identity=node.identity, code=node.code, plugins=node.plugins, seed=node.seed,
        seconds=round(time.perf_counter() - started, 3), measures=dict(measures),
    )  # fmt: skip


def _checked(node: Node, measures: Any) -> Mapping[str, Any]:
    """What an action returned, if it can be recorded."""
    try:
        if isinstance(measures, Mapping):
            json.dumps(dict(measures))
            return measures
        what = type(measures).__name__
    except (TypeError, ValueError) as error:
        what = str(error)
    raise PluginError(f"the action '{node.action}' returned no measures that JSON can hold: {what}")


def _tell(events: int, event: str, node: str, **more: Any) -> None:
    line = json.dumps({"event": event, "node": node, **more}, default=float)
    if len(line) >= LINE_LIMIT:
        if event == "failed":
            more["message"] = more["message"][: LINE_LIMIT // 8] + " ... (whole in the log)"
            line = json.dumps({"event": event, "node": node, **more})
        else:
            line = json.dumps({"event": event, "node": node, **more, "measures": {}})
    os.write(events, line.encode() + b"\n")


if __name__ == "__main__":
    main()
