"""The bundled objectives: pure functions from log-probabilities of pairs to a loss."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import Objective, Strategy, hookimpl
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.ipo import Ipo


@hookimpl
def aya_objectives() -> Mapping[str, type[Strategy[Objective]]]:
    """Offer direct preference optimisation and its bounded relative."""
    return {"dpo": Dpo, "ipo": Ipo}
