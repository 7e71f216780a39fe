"""What makes the golden values of every label, and why some have none."""

import importlib.util
from functools import cache
from pathlib import Path

import golden_actions
import golden_arbiters
import golden_evaluators
import golden_kernels
import golden_merges
import golden_objectives
import golden_rows
import golden_trainers
from golden import Maker

from aya_core.planning.registry import Registry

WITHOUT = {
    "teacher vllm": "needs its engine; its tests compare it with the teacher transformers",
}
"""Labels that have no golden values, and why."""

SEALS = Path(__file__).parent.parent.parent / "docs" / "seals.py"

REGISTRY = Registry()

MODULES = (
    golden_actions, golden_arbiters, golden_evaluators, golden_merges, golden_objectives, golden_rows, golden_trainers
)  # fmt: skip

MAKERS: dict[str, Maker] = golden_kernels.makers()
for module in MODULES:
    MAKERS |= module.makers(REGISTRY)


@cache
def versions() -> dict[str, int]:
    """The version of everything that is sealed, by label."""
    spec = importlib.util.spec_from_file_location("seals", SEALS)
    seals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seals)
    return {label: version for _, label, _, version in seals.sealed(REGISTRY)}
