"""The bundled trainers."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import TrainerStrategy, hookimpl
from aya_plugins.trainers.initialize import Initialize
from aya_plugins.trainers.policy_gradient import PolicyGradient
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.router import RouterTraining
from aya_plugins.trainers.sft import Sft


@hookimpl
def aya_trainers() -> Mapping[str, type[TrainerStrategy]]:
    """Offer what the recipe trains with."""
    return {
        "initialize": Initialize,
        "sft": Sft,
        "preference": PreferenceTraining,
        "policy-gradient": PolicyGradient,
        "reward": RewardTraining,
        "router": RouterTraining,
    }
