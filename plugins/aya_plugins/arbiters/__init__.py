"""The bundled arbiters."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import ArbiterStrategy, hookimpl
from aya_plugins.arbiters.consensus import Consensus
from aya_plugins.arbiters.ensemble import Ensemble
from aya_plugins.arbiters.judge import Judge
from aya_plugins.arbiters.language import Language
from aya_plugins.arbiters.length import Length
from aya_plugins.arbiters.likelihood import Likelihood
from aya_plugins.arbiters.reward_model import RewardModel
from aya_plugins.arbiters.verifier import Verifier


@hookimpl
def aya_arbiters() -> Mapping[str, type[ArbiterStrategy]]:
    """Offer the bundled arbiters."""
    return {
        "reward-model": RewardModel,
        "judge": Judge,
        "likelihood": Likelihood,
        "verifier": Verifier,
        "consensus": Consensus,
        "ensemble": Ensemble,
        "language": Language,
        "length": Length,
    }
