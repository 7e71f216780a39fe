"""What an action is handed: its node's settings with every path filled in, its inputs, and a place to write to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aya_core.contract.artifacts import PAYLOAD
from aya_core.contract.durable import make_folder
from aya_core.planning.plan import Node, fill_paths
from aya_core.planning.registry import Registry

SCRATCH = "work"
"""The folder beside the payload for scratch work."""

LOG = "log.jsonl"
"""The file of an artifact with all that its action logged."""

Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with (done, total, measures)."""


@dataclass(frozen=True)
class Work:
    """One node about to be done.

    inputs: payload folders and user files by role. contents: their content hashes. partial: where its artifact is made.
    store: a folder that all nodes of the run share, see `TrainingJob`; None outside a run. keep: whether answers of earlier runs are
    taken over although the code that gave them has changed. stopping: says whether the run was told to stop, to actions that save then
    (see `Action.stops`).
    """

    node: Node
    registry: Registry
    inputs: Mapping[str, Path]
    partial: Path
    report: Report
    contents: Mapping[str, str] = field(default_factory=dict)
    store: Path | None = None
    keep: bool = False
    stopping: Callable[[], bool] = field(default=lambda: False)

    @property
    def out(self) -> Path:
        """The payload folder to fill."""
        return self.partial / PAYLOAD

    @property
    def scratch(self) -> Path:
        """A folder that survives a kill and is gone when the artifact is whole."""
        folder = self.partial / SCRATCH
        make_folder(folder)
        return folder

    def setting(self, key: str) -> Any:
        """A setting of the node, paths filled in."""
        return fill_paths(self.node.settings[key], {role: str(path) for role, path in self.inputs.items()})

    def strategy(self, kind: str, key: str | None = None) -> Any:
        """The node's strategy of a kind, validated with its paths filled in: an instance of the kind's base."""
        return self.registry.validate(kind, self.setting(key or kind))

    def log(self, done: int, total: int, measures: Mapping[str, float]) -> None:
        """Report progress and keep the measures in the artifact's log.jsonl."""
        if measures:
            line = {"done": done, "total": total, "time": round(time.time(), 3), **measures}
            with (self.partial / LOG).open("a") as file:
                file.write(json.dumps(line) + "\n")
        self.report(done, total, measures)
