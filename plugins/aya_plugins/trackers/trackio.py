"""Trackio."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import Field, TrackedRun, Tracker, TrackerStrategy


class Trackio(TrackerStrategy):
    """Write measures to Trackio's database on this machine, or to a Space on the Hugging Face Hub if one is named.

    `trackio show --project RECIPE` shows them. Each `aya run` is a run there; those that went on in one run folder share a
    group.
    """

    imports = ("trackio",)
    extra = "trackio"

    project: str | None = Field(None, description="The project; by default, the name of the recipe.")
    space_id: str | None = Field(
        None, description="A Space, owner/name, to send measures to; None takes TRACKIO_SPACE_ID, if that is set."
    )

    def build(self) -> Tracker:
        """Make the tracker."""
        return TrackioRun(self)


class TrackioRun:
    """See `Trackio`."""

    def __init__(self, settings: Trackio) -> None:
        self.settings = settings
        self.steps: dict[str, int] = {}

    def start(self, run: TrackedRun) -> None:
        """See `Tracker`."""
        import trackio

        self.run = trackio.init(
            project=self.settings.project or run.recipe,
            group=run.folder.resolve().name,
            space_id=self.settings.space_id,
            config=dict(run.settings),
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def log(self, node: str, step: int, measures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self.steps[node] = step
        self.run.log({f"{node}/{name}": value for name, value in measures.items()}, step=step)

    def finish(self, node: str, measures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        final = {f"final/{name}": value for name, value in measures.items()}
        self.log(node, self.steps.get(node, 0), final)

    def close(self, is_whole: bool) -> None:
        """See `Tracker`."""
        import trackio

        trackio.finish()
