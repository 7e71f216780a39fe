"""The bundled evaluators."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import Evaluator, Strategy, hookimpl
from aya_plugins.evaluators.chrf import Chrf
from aya_plugins.evaluators.perplexity import Perplexity
from aya_plugins.evaluators.preference_accuracy import PreferenceAccuracy
from aya_plugins.evaluators.verifier import VerifierEvaluator
from aya_plugins.evaluators.win_rate import WinRate


@hookimpl
def aya_evaluators() -> Mapping[str, type[Strategy[Evaluator]]]:
    """Offer the bundled evaluators."""
    return {
        "verifier": VerifierEvaluator,
        "win-rate": WinRate,
        "perplexity": Perplexity,
        "preference-accuracy": PreferenceAccuracy,
        "chrf": Chrf,
    }
