"""Commands that are to be killed: forked from this process, which has the imports behind it, with all that they start.

A command and its worker are processes as a user has them, but that they are forked rather than started anew, which costs seconds of
imports each. They tell this process of each flush, rename and removal, and wait for its answer, so that they can be killed at one.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from power_cut import CHANGES, Disk

from aya_core import cli

WORKER = "aya_core.running.worker"
POLL_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36


class Recorder:
    """Hears of flushes, renames and removals of the commands. events: how many. disk: notes what is flushed, if one is to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(place))
        self.listener.listen(128)
        self.events = 0
        self.held: socket.socket | None = None
        self.disk: Disk | None = None

    def hear(self, stop_at: int | None = None) -> bool:
        """Answer one event that waits. Returns whether it was the one to stop at: who told of it waits until `release`."""
        teller, _ = self.listener.accept()
        self.events += 1
        if self.events == stop_at:
            self.held = teller
            return True
        self._answer(teller)
        return False

    def release(self) -> None:
        """Answer the one that waits."""
        if self.held is not None:
            self._answer(self.held)
            self.held = None

    def _answer(self, teller: socket.socket) -> None:
        with teller, suppress(OSError):  # it may have been killed meanwhile
            message, descriptors, _, _ = socket.recv_fds(teller, 1, 1)
            for descriptor in descriptors:
                if self.disk is not None:
                    self.disk.flushed(descriptor)
                os.close(descriptor)
            teller.sendall(message)

    def install(self) -> None:
        """Have this process, and those forked from it, tell of what they do. Flushes are told, not done."""
        place = str(self.place)

        def tell(descriptor: int | None = None) -> None:
            with socket.socket(socket.AF_UNIX) as teller:
                teller.connect(place)
                sent = (
                    []
                    if descriptor is None
                    else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
                )
                teller.sendmsg([b"."], sent)
                teller.recv(1)

        def telling(change: Callable[..., Any]) -> Callable[..., Any]:
            def told(*args: Any, **kwargs: Any) -> Any:
                tell()
                return change(*args, **kwargs)

            return told

        os.fsync = tell  # type: ignore[assignment]
        for name in CHANGES:
            setattr(os, name, telling(getattr(os, name)))


class ForkedWorker(subprocess.Popen[bytes]):
    """A worker process that is forked, not started anew; any other command is started as ever."""

    def _execute_child(self, args: Any, *others: Any) -> None:
        words = [args] if isinstance(args, str) else list(args)
        if WORKER not in words:
            super()._execute_child(args, *others)  # type: ignore[misc]
            return
        # The order of what follows is that of CPython, 3.11 to 3.14.
        prepare, pass_fds, environment = others[1], others[3], others[5]
        p2cread, c2pwrite, errwrite = others[9], others[12], others[14]
        self.pid = os.fork()
        if self.pid == 0:
            _become(
                words[words.index(WORKER) :], prepare, environment, pass_fds, {0: p2cread, 1: c2pwrite, 2: errwrite}
            )
        self._child_created = True
        for ours in (p2cread, c2pwrite, errwrite):
            if ours != -1:
                os.close(ours)


def _become(
    words: Sequence[str], prepare: Callable[[], Any] | None, environment: Mapping[str, str] | None, kept: Sequence[int],
    files: Mapping[int, int],
) -> None:  # fmt: skip
    with _as_process():
        os.setsid()
        for number, file in files.items():
            if file != -1:
                os.dup2(file, number)
        last = 2
        for number in sorted(kept):
            os.closerange(last + 1, number)
            os.set_inheritable(number, True)
            last = number
        os.closerange(last + 1, 4096)
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        if prepare is not None:
            prepare()
        sys.argv = list(words)
        importlib.import_module(words[0]).main()


@contextmanager
def _as_process() -> Iterator[None]:
    """End this process, a fork, when the block ends, with the code that a Python program ends with."""
    code = 1
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Command:
    """An `aya` command in a process of its own. output: the file with what it printed."""

    def __init__(self, words: Sequence[object], cwd: Path, output: Path, recorder: Recorder) -> None:
        self.output = output
        self.recorder = recorder
        self.code: int | None = None
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            with _as_process():
                os.setsid()
                os.chdir(cwd)
                recorder.listener.close()
                recorder.install()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                opened = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(opened, 1)
                os.dup2(opened, 2)
                vars(subprocess)["Popen"] = ForkedWorker  # which the worker is started by
                sys.argv = ["aya", *map(str, words)]
                cli.main()

    def watch(self, seconds: float, *, stop_at: int | None = None) -> bool:
        """Answer the command's events until it ends or the time is over. Returns whether the event to stop at has come."""
        end = time.monotonic() + seconds
        while self.code is None and time.monotonic() < end:
            if select.select([self.recorder.listener], [], [], POLL_SECONDS)[0]:
                if self.recorder.hear(stop_at):
                    return True
            else:
                self.look()
        return False

    def look(self) -> int | None:
        """The exit code, negative for a signal; None while the command runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def printed(self) -> str:
        """What it printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def adopt_orphans() -> None:
    """Have processes whose parent ends become children of this one, so that none is lost from sight. Linux alone can."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(of: int) -> list[int]:
    """The children of a process that have not ended."""
    found = []
    for tasks in Path(f"/proc/{of}/task").glob("*/children"):
        try:
            found += [int(pid) for pid in tasks.read_text().split()]
        except OSError:
            continue
    return [pid for pid in found if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(of: int) -> Iterator[int]:
    """All processes below one, parents first."""
    for child in children(of):
        yield child
        yield from descendants(child)


def all_drilled() -> list[int]:
    """All processes that the commands left, and they themselves."""
    return list(descendants(os.getpid()))


def end_all() -> None:
    """Kill all of them at one moment: they are stopped first, so that none sees another end."""
    stopped: set[int] = set()
    while new := [pid for pid in all_drilled() if pid not in stopped]:
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped.update(new)
    while left := all_drilled():
        for pid in left:
            _signal(pid, signal.SIGKILL)
        _reap()


def wait_for_all(recorder: Recorder, seconds: float) -> list[int]:
    """Wait for the processes that a command left; returns those that still live when the time is over."""
    end = time.monotonic() + seconds
    while all_drilled() and time.monotonic() < end:
        if select.select([recorder.listener], [], [], POLL_SECONDS)[0]:
            recorder.hear()
        _reap()
    return all_drilled()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
