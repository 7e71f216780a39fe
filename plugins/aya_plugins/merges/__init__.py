"""The bundled merges, and the engine that lifts a merge of one tensor to a merge of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import MakeOptimizer, MergeEngine, MergeStrategy, hookimpl
from aya_plugins.merges.breadcrumbs import Breadcrumbs
from aya_plugins.merges.dare_linear import DareLinear
from aya_plugins.merges.dare_ties import DareTies
from aya_plugins.merges.della import Della
from aya_plugins.merges.karcher import Karcher
from aya_plugins.merges.mergekit import Mergekit
from aya_plugins.merges.model_stock import ModelStock
from aya_plugins.merges.multislerp import MultiSlerp
from aya_plugins.merges.nearswap import NearSwap
from aya_plugins.merges.passthrough import Passthrough
from aya_plugins.merges.sce import Sce
from aya_plugins.merges.slerp import Slerp
from aya_plugins.merges.task_arithmetic import TaskArithmetic
from aya_plugins.merges.ties import Ties
from aya_plugins.merges.weighted import Weighted


@hookimpl
def aya_merges() -> Mapping[str, type[MergeStrategy]]:
    """Offer the four merges that arXiv 2410.10801 compares, of which arXiv 2412.04261 settled on weighted, and others."""
    return {
        "weighted": Weighted,
        "slerp": Slerp,
        "ties": Ties,
        "dare-ties": DareTies,
        "multislerp": MultiSlerp,
        "karcher": Karcher,
        "task-arithmetic": TaskArithmetic,
        "dare-linear": DareLinear,
        "della": Della,
        "breadcrumbs": Breadcrumbs,
        "model-stock": ModelStock,
        "nearswap": NearSwap,
        "sce": Sce,
        "passthrough": Passthrough,
        "mergekit": Mergekit,
    }


@hookimpl
def aya_merge_engine() -> MergeEngine:
    """Offer the engine that streams safetensors."""
    from aya_plugins.merges.runtime.streaming import StreamingMerge

    return StreamingMerge()


@hookimpl
def aya_optimizer() -> MakeOptimizer:
    """Offer CMA-ES. Raises PluginError where its library is not installed."""
    from aya_plugins.merges.cma_es import CmaEs, check_installed

    check_installed()
    return CmaEs
