"""The bundled objectives: pure functions from log-probabilities of pairs, or of groups of samples, to a loss."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import ObjectiveStrategy, hookimpl
from aya_plugins.objectives.apo_down import ApoDown
from aya_plugins.objectives.apo_zero import ApoZero
from aya_plugins.objectives.cpo import Cpo
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.dpo_norm import DpoNorm
from aya_plugins.objectives.exo import Exo
from aya_plugins.objectives.grpo import Grpo
from aya_plugins.objectives.hinge import Hinge
from aya_plugins.objectives.ipo import Ipo
from aya_plugins.objectives.kto import Kto
from aya_plugins.objectives.orpo import Orpo
from aya_plugins.objectives.rloo import Rloo
from aya_plugins.objectives.robust import Robust
from aya_plugins.objectives.simpo import Simpo
from aya_plugins.objectives.sppo import Sppo


@hookimpl
def aya_objectives() -> Mapping[str, type[ObjectiveStrategy]]:
    """Offer direct preference optimization and its relatives, and policy gradients over groups."""
    return {
        "dpo": Dpo,
        "ipo": Ipo,
        "hinge": Hinge,
        "robust": Robust,
        "simpo": Simpo,
        "orpo": Orpo,
        "cpo": Cpo,
        "kto": Kto,
        "exo": Exo,
        "apo-zero": ApoZero,
        "apo-down": ApoDown,
        "sppo": Sppo,
        "dpo-norm": DpoNorm,
        "rloo": Rloo,
        "grpo": Grpo,
    }
