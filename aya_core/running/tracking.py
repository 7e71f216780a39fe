"""Tracking: the lines of every log, told to the trackers that a recipe names.

`log.jsonl` in each artifact is the whole truth, written by the process that does the work. The runner reads its new lines as the
node goes on, so that nothing is left out however fast they come.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from aya_core.contract.durable import PARTIAL
from aya_core.contract.kinds import TrackedRun, Tracker
from aya_core.contract.strategies import Strategy
from aya_core.contract.visible import visible
from aya_core.hookspecs import hookimpl
from aya_core.planning.recipe import LoadedRecipe
from aya_core.running.run_folder import LOGS
from aya_core.running.work import LOG

TRACKERS_LOG = "trackers.log"


class LogReader:
    """Reads what a node adds to its log from now on. folder: of the artifact that it makes."""

    def __init__(self, folder: Path) -> None:
        self.places = (folder.with_name(folder.name + PARTIAL) / LOG, folder / LOG)
        self.offset = 0
        with suppress(FileNotFoundError):  # a killed run left one, and was told of it
            self.offset = self.places[0].stat().st_size

    def lines(self) -> Iterator[tuple[int, int, Mapping[str, float]]]:
        """Yield the new lines as (done, total, measures)."""
        for line in self._new().splitlines():
            with suppress(ValueError):  # the half line of a killed run
                read = json.loads(line)
                yield read.pop("done"), read.pop("total"), {k: v for k, v in read.items() if k != "time"}

    def _new(self) -> bytes:
        for place in self.places:  # in this order: the first is renamed to the second
            with suppress(FileNotFoundError), place.open("rb") as file:
                file.seek(self.offset)
                whole, newline, _ = file.read().rpartition(b"\n")
                self.offset += len(whole + newline)
                return whole
        return b""


class Tracking:
    """An observer that tells trackers. One that fails is reported, and told no more.

    log: a file for the tracebacks.
    """

    def __init__(self, trackers: Mapping[str, Strategy[Tracker]], run: TrackedRun, log: Path) -> None:
        self.log = log
        self.working: dict[str, Tracker] = {}
        for name, strategy in trackers.items():
            with self._guarded(name):
                self.working[name] = strategy.build()
        self._tell("start", run)

    @hookimpl
    def aya_measured(self, node: str, done: int, total: int, measures: Mapping[str, float]) -> None:
        """Tell a line of a log."""
        self._tell("log", node, done, measures)

    @hookimpl
    def aya_step_finished(self, node: str, reused: bool, measures: Mapping[str, Any]) -> None:
        """Tell the final measures of what was made."""
        if not reused:
            self._tell("finish", node, {name: value for name, value in measures.items() if _is_number(value)})

    def close(self, is_whole: bool) -> None:
        """Tell the end."""
        self._tell("close", is_whole)

    def _tell(self, method: str, *arguments: Any) -> None:
        for name, tracker in list(self.working.items()):
            with self._guarded(name):
                getattr(tracker, method)(*arguments)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr):  # where what libraries print belongs
                yield
        except Exception as error:
            self.working.pop(name, None)
            with self.log.open("a") as file:
                traceback.print_exc(file=file)
            why = visible(f"{type(error).__name__}: {error}")
            print(
                f"tracker '{name}' failed and is told no more; the run goes on. {why} (traceback in {self.log})",
                file=sys.stderr,
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@contextmanager
def tracked(loaded: LoadedRecipe, trackers: Sequence[Strategy[Tracker]], folder: Path) -> Iterator[None]:
    """Have what happens inside told to trackers. folder: of the run."""
    if not trackers:
        yield
        return
    run = TrackedRun(loaded.recipe.name, folder, loaded.raw)
    tracking = Tracking(_named(loaded, trackers), run, folder / LOGS / TRACKERS_LOG)
    loaded.registry.manager.register(tracking)
    is_whole = False
    try:
        yield
        is_whole = True
    finally:
        loaded.registry.manager.unregister(tracking)
        tracking.close(is_whole)


def _named(loaded: LoadedRecipe, trackers: Sequence[Strategy[Tracker]]) -> Mapping[str, Strategy[Tracker]]:
    """Name trackers for messages; a second one of a kind gets a number."""
    named: dict[str, Strategy[Tracker]] = {}
    for tracker in trackers:
        name = base = loaded.registry.name_of("tracker", tracker)
        count = 1
        while name in named:
            count += 1
            name = f"{base} {count}"
        named[name] = tracker
    return named
