"""Merging: one checkpoint of several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.errors import PluginError
from aya_core.kinds import CheckpointMerge, MergeJob
from aya_core.plan import Builder
from aya_core.recipe import MergeStage
from aya_core.registry import Registry
from aya_core.stages.work import Work
from aya_core.strategies import Reference, Strategy


def unroll(stage: MergeStage, build: Builder) -> None:
    """One node that merges."""
    if isinstance(stage.models, Reference):
        models = dict(build.resolve_group(stage.models, "models"))
    else:
        models = {str(model): build.resolve(model, f"models.{index}") for index, model in enumerate(stage.models)}
        if len(models) < len(stage.models):
            raise build.error("models", "a model is listed twice; give it a larger weight instead")
    base = build.resolve(stage.base, "base") if stage.base else None
    for model in (*models.values(), *([base] if base else [])):
        if model not in build.nodes and not Path(model).is_absolute():
            raise build.error(
                "models", f"no folder {model}; a merge reads local checkpoints, so fetch hub models first"
            )
    weights = _weights(stage, build, list(models))
    build.name(stage.name, add(build, stage.name, models, stage.merge, weights, base, stage.dtype))


def add(
    build: Builder, id: str, models: Mapping[str, str], merge: Strategy[Any], weights: Mapping[str, float],
    base: str | None = None, dtype: str | None = None,
) -> str:  # fmt: skip
    """Add the node of one merge, and return its id. models: node ids or folders, by cluster or reference."""
    inputs = {f"model.{name}": model for name, model in models.items()}
    if base is not None:
        inputs["base"] = base
    settings = {"models": list(models), "weights": [weights[name] for name in models], "dtype": dtype}
    return build.add(id, "merge", "checkpoint", settings, inputs, {"merge": ("merge", merge)})


def _weights(stage: MergeStage, build: Builder, models: list[str]) -> dict[str, float]:
    given = stage.weights
    if given is None:
        return dict.fromkeys(models, 1.0)
    if isinstance(given, dict):
        if set(given) != set(models):
            raise build.error("weights", f"expected one weight for each of {', '.join(models)}; got {', '.join(given)}")
        return given
    if len(given) != len(models):
        raise build.error("weights", f"expected {len(models)} weights, one per model; got {len(given)}")
    return dict(zip(models, given, strict=True))


def merge(work: Work) -> Mapping[str, Any]:
    """Run one merge."""
    job = MergeJob(
        models=tuple(work.inputs[f"model.{name}"] for name in work.setting("models")),
        weights=tuple(work.setting("weights")),
        out=work.out,
        seed=work.node.seed,
        base=work.inputs.get("base"),
        dtype=work.setting("dtype"),
    )
    return run(work.registry, work.strategy("merge"), job)


def run(registry: Registry, strategy: Strategy[Any], job: MergeJob) -> Mapping[str, Any]:
    """Merge with a strategy, lifted by the installed engine where it works by tensor. job.out is filled."""
    built = strategy.build()
    if isinstance(built, CheckpointMerge):
        return built.merge(job)
    if not callable(built):
        raise PluginError(
            f"merge '{registry.name_of('merge', strategy)}' built {type(built).__name__}; expected a TensorMerge or a CheckpointMerge"
        )
    lift = registry.manager.hook.aya_merge_engine()
    if lift is None:
        raise PluginError(
            "no plugin offers a merge engine (hook aya_merge_engine); unblock 'aya-merges' or install one"
        )
    merged: Mapping[str, Any] = lift(built).merge(job)
    return merged


def checkpoint_folder(text: str) -> Path:
    """The folder of a checkpoint named by path, or inside an artifact."""
    folder = Path(text).expanduser().resolve()
    return folder / "payload" if (folder / "artifact.json").is_file() else folder
