"""The bundled merges, and the engine that lifts a merge of one tensor to a merge of checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aya_core.api import CheckpointMerge, Strategy, TensorMerge, hookimpl
from aya_plugins.merges.dare_ties import DareTies
from aya_plugins.merges.slerp import Slerp
from aya_plugins.merges.ties import Ties
from aya_plugins.merges.weighted import Weighted


@hookimpl
def aya_merges() -> Mapping[str, type[Strategy[TensorMerge | CheckpointMerge]]]:
    """Offer the four merges that arXiv 2410.10801 compares; arXiv 2412.04261 settled on weighted."""
    return {"weighted": Weighted, "slerp": Slerp, "ties": Ties, "dare-ties": DareTies}


@hookimpl
def aya_merge_engine() -> Callable[[TensorMerge], CheckpointMerge]:
    """Offer the engine that streams safetensors."""
    from aya_plugins.merges.engine import StreamingMerge

    return StreamingMerge
