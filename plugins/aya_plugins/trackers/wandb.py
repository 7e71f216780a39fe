"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from aya_core.api import Field, TrackedRun, Tracker, TrackerStrategy


class WeightsAndBiases(TrackerStrategy):
    """Send measures to Weights & Biases, or keep them in the run folder for `wandb sync`.

    Sent are the recipe, the measures of the logs and the final ones. What the library would send of itself is switched
    off: console output, code, git state, machine statistics, reports of its own errors. Each `aya run` is a run there; those that
    went on in one run folder share a group.
    """

    imports = ("wandb",)
    extra = "wandb"

    project: str | None = Field(None, description="The project; by default, the name of the recipe.")
    entity: str | None = Field(None, description="The team or user; by default, that of the login.")
    mode: Literal["online", "offline"] = Field(
        "online",
        description="online: sent as it comes; offline: written to `wandb` in the run folder, sent by `wandb sync`.",
    )
    tags: tuple[str, ...] = Field((), description="Tags of the run.")

    def build(self) -> Tracker:
        """Make the tracker."""
        return WandbRun(self)


class WandbRun:
    """See `WeightsAndBiases`."""

    def __init__(self, settings: WeightsAndBiases) -> None:
        self.settings = settings
        self.nodes: set[str] = set()

    def start(self, run: TrackedRun) -> None:
        """See `Tracker`. Raises what the library raises without a login."""
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # read when the library is imported
        import wandb

        quiet: dict[str, Any] = {"console": "off", "disable_code": True, "disable_git": True, "x_disable_stats": True}
        quiet |= {"x_disable_meta": True, "x_disable_machine_info": True, "x_save_requirements": False}
        self.run = wandb.init(
            project=self.settings.project or run.recipe,
            entity=self.settings.entity,
            mode=self.settings.mode,
            tags=self.settings.tags,
            group=run.folder.resolve().name,
            config=dict(run.settings),
            dir=str(run.folder.resolve()),  # the service that writes may have been started elsewhere
            settings=wandb.Settings(silent=True, **quiet),
        )

    def log(self, node: str, step: int, measures: Mapping[str, float]) -> None:
        """See `Tracker`. Each node has an axis of its own, `NODE/step`."""
        if node not in self.nodes:
            self.nodes.add(node)
            self.run.define_metric(f"{node}/step")
            self.run.define_metric(f"{node}/*", step_metric=f"{node}/step")
        self.run.log({f"{node}/step": step, **{f"{node}/{name}": value for name, value in measures.items()}})

    def finish(self, node: str, measures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self.run.summary.update({f"{node}/final/{name}": value for name, value in measures.items()})

    def close(self, is_whole: bool) -> None:
        """See `Tracker`."""
        self.run.finish(exit_code=0 if is_whole else 1)
