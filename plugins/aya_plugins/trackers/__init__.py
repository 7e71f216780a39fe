"""The bundled trackers. None is imported, and nothing is sent, unless a recipe or `--track` names it."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import TrackerStrategy, hookimpl
from aya_plugins.trackers.tensorboard import TensorBoard
from aya_plugins.trackers.trackio import Trackio
from aya_plugins.trackers.wandb import WeightsAndBiases


@hookimpl
def aya_trackers() -> Mapping[str, type[TrackerStrategy]]:
    """Offer thin layers over three libraries."""
    return {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "trackio": Trackio}
