"""The bundled evaluators."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import EvaluatorStrategy, hookimpl
from aya_plugins.evaluators.choice import Choice
from aya_plugins.evaluators.chrf import Chrf
from aya_plugins.evaluators.flores import Flores
from aya_plugins.evaluators.generate import Generate
from aya_plugins.evaluators.global_mmlu import GlobalMmlu
from aya_plugins.evaluators.include import Include
from aya_plugins.evaluators.language_fidelity import LanguageFidelity
from aya_plugins.evaluators.mgsm import Mgsm
from aya_plugins.evaluators.perplexity import Perplexity
from aya_plugins.evaluators.preference_accuracy import PreferenceAccuracy
from aya_plugins.evaluators.reward import Reward
from aya_plugins.evaluators.verifier import VerifierEvaluator
from aya_plugins.evaluators.win_rate import WinRate
from aya_plugins.evaluators.xcopa import Xcopa
from aya_plugins.evaluators.xstorycloze import Xstorycloze
from aya_plugins.evaluators.xwinograd import Xwinograd


@hookimpl
def aya_evaluators() -> Mapping[str, type[EvaluatorStrategy]]:
    """Offer the bundled evaluators."""
    return {
        "verifier": VerifierEvaluator,
        "win-rate": WinRate,
        "perplexity": Perplexity,
        "preference-accuracy": PreferenceAccuracy,
        "chrf": Chrf,
        "xcopa": Xcopa,
        "xstorycloze": Xstorycloze,
        "xwinograd": Xwinograd,
        "global-mmlu": GlobalMmlu,
        "flores": Flores,
        "mgsm": Mgsm,
        "include": Include,
        "language-fidelity": LanguageFidelity,
        "reward": Reward,
        "choice": Choice,
        "generate": Generate,
    }
