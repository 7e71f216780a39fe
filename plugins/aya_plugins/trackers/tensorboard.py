"""TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aya_core.api import TrackedRun, Tracker, TrackerStrategy

FINAL = "final/"
"""Before the names of final measures, which are drawn apart from the curves."""


class TensorBoard(TrackerStrategy):
    """Write event files for TensorBoard, a run for each node, so that clusters lie over one another in one picture.

    Nothing leaves the machine. `tensorboard --logdir RUN/tensorboard` shows them while the run goes on; `--logdir runs` shows
    all runs beside one another.
    """

    imports = ("tensorboard",)
    extra = "tensorboard"

    def build(self) -> Tracker:
        """Make the tracker."""
        return EventFiles()


class EventFiles:
    """See `TensorBoard`."""

    def __init__(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.make_writer, self.event, self.summary = EventFileWriter, Event, Summary
        self.steps: dict[str, int] = {}
        self.writers: dict[str, Any] = {}

    def start(self, run: TrackedRun) -> None:
        """See `Tracker`."""
        self.root = run.folder / "tensorboard"

    def log(self, node: str, step: int, measures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        if node not in self.writers:
            self.writers[node] = self.make_writer(str(self.root / node.replace("/", "--")), flush_secs=10)
        self.steps[node] = step
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in measures.items()]
        self.writers[node].add_event(self.event(wall_time=time.time(), step=step, summary=self.summary(value=values)))

    def finish(self, node: str, measures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self.log(node, self.steps.get(node, 0), {FINAL + name: value for name, value in measures.items()})
        self.writers.pop(node).close()

    def close(self, is_whole: bool) -> None:
        """See `Tracker`."""
        for writer in self.writers.values():
            writer.close()
