"""Training by several processes: starts them, passes on what the first one reports, and ends them.

The work lies in a file in the node's scratch folder, which every process reads (see `launched.py`). This process holds a
lock on it for as long as it lives: launchers give their processes sessions of their own, so that ending the node's
process group would leave these behind; they end when the lock is free.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from aya_core.api import AyaError, Report, StoppedError, Work, how_it_ended

ProcessFunction = Callable[[Work, Report], Mapping[str, Any]]
"""What each process does: work, reporting as it goes, and its measures."""

MODULE = "aya_recipe.train.launched"

POLL_SECONDS = 0.1
"""Time between two looks at what the processes report."""

GRACE_SECONDS = 10.0
"""Time for a launcher to end its processes when it is asked to."""


class ProcessesError(RuntimeError):
    """One of several processes ended for a reason of its own."""


def launch(work: Work, launcher: Sequence[str], run: ProcessFunction) -> Mapping[str, Any]:
    """Have the processes that a launcher starts do the work, and return the measures of the first one.

    run: a function of a module, called in each process with the work and where it reports to.
    launcher: the words of a command that runs `-m module arguments` in each process. What they print goes where this process
    prints to. Where the run is told to stop, they are, by a file. Raises StoppedError once they have, AyaError for a mistake that one of
    them met, ProcessesError for any other end.
    """
    with _job(work, run) as job:
        events = events_of(job)
        events.touch()
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # no file in the working folder stands in for a library
        process = subprocess.Popen([*launcher, "-m", MODULE, str(job)], stdin=subprocess.DEVNULL, env=environment)
        try:
            return _follow(process, events, work)
        finally:
            _end(process)
            events.unlink()
            stop_of(job).unlink(missing_ok=True)


def load(job: Path, report: Any) -> tuple[Work, ProcessFunction]:
    """Take up the work that lies in a file, in one of the processes, and what is to be done with it."""
    with job.open("rb") as file:
        registry = pickle.load(file)  # first: what follows may name modules of plugins that are files
        run, held = pickle.load(file)
    return Work(registry=registry, report=report, stopping=stop_of(job).exists, **held), run


def events_of(job: Path) -> Path:
    """Where the processes report: a JSON object a line, `progress`, `done` and `failed`."""
    return job.with_suffix(".events")


def stop_of(job: Path) -> Path:
    """A file that is there once the run was told to stop. A signal to the launcher would have it kill its processes before long."""
    return job.with_suffix(".stop")


@contextmanager
def _job(work: Work, run: ProcessFunction) -> Iterator[Path]:
    """Write the work to a file and hold its lock."""
    held = {
        field.name: getattr(work, field.name)
        for field in fields(work)
        if field.name not in ("registry", "report", "stopping")
    }
    with NamedTemporaryFile(dir=work.scratch, prefix="launched-", suffix=".job") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pickle.dump(work.registry, file)
        pickle.dump((run, held), file)
        file.flush()
        yield Path(file.name)


def _follow(process: subprocess.Popen[bytes], events: Path, work: Work) -> Mapping[str, Any]:
    """Pass on what is reported until all is done."""
    measures: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    stopped: str | None = None
    for event in _events(process, events, work.stopping):
        if event["event"] == "progress":
            work.report(event["done"], event["total"], event["measures"])
        elif event["event"] == "done":
            measures = event["measures"]
        elif event["event"] == "stopped":
            stopped = event["message"]
        elif failure is None:  # the others then fail because one is gone
            failure = event
    if stopped is not None:
        raise StoppedError(stopped)
    if failure is not None and failure["is_mistake"]:
        raise AyaError(failure["message"])
    if failure is not None:
        raise ProcessesError(f"process {failure['process']}: {failure['message']}")
    if process.returncode != 0 or measures is None:
        raise ProcessesError(
            f"the process that starts the others {how_it_ended(process.returncode)}, and gave no reason"
        )
    return measures


def _events(process: subprocess.Popen[bytes], events: Path, stopping: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    with events.open(encoding="utf-8") as stream:
        rest = ""
        while True:
            has_ended = process.poll() is not None
            *lines, rest = (rest + stream.read()).split("\n")
            yield from map(json.loads, lines)
            if has_ended:
                return
            if stopping():
                stop_of(events).touch()
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        print("the launcher does not end its processes when asked to; it is killed", file=sys.stderr)
        process.kill()
        process.wait()
