"""Merging: one checkpoint of several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aya_core.api import (
    AnyMerge,
    Builder,
    CheckingEngine,
    CheckpointMerge,
    Field,
    MergeEngine,
    MergeInput,
    MergeJob,
    MergeParameter,
    ModelRef,
    PieceMerge,
    PluginError,
    Reference,
    Registry,
    Resources,
    Stage,
    Strategy,
    TensorMerge,
    Vocabulary,
    WholeModelMerge,
    Work,
    nested,
)


class MakesOneOfSeveral(Stage):
    """What stages that merge have in common."""

    models: ModelRef | tuple[ModelRef, ...] = Field(
        description="A stage with a model per cluster, or a list of models."
    )
    merge: nested("merge") = Field(description="How to merge; a search starts from its settings.")  # type: ignore[valid-type]
    base: ModelRef | None = Field(None, description="The model they all came from, for merges that need it.")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="Stored as; None keeps the input's."
    )
    tokenizer: Vocabulary = Field(Vocabulary(), description="Whose tokens the merge has, where the models' differ.")
    chat_template: str | None = Field(None, description="A chat template to store, as text; None keeps the base's.")
    max_shard_gb: float = Field(4.0, gt=0, description="Largest file of weights, GB (10^9 bytes).")
    resources: Resources = Field(
        Resources(), description="With how many threads, how much memory and on what it is done."
    )


def settings_of(
    stage: MakesOneOfSeveral, build: Builder, models: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give the settings of a node that merges, beside models and strategy, and the user's files among them by role."""
    tokenizer, files = stage.tokenizer, {}
    if tokenizer.source not in ("same", "base", "union", *models):
        files["tokenizer"] = build.file(tokenizer.source, "tokenizer.source")
        tokenizer = tokenizer.model_copy(update={"source": "$tokenizer"})
    settings = {
        "dtype": stage.dtype,
        "tokenizer": tokenizer.model_dump(mode="json"),
        "chat_template": stage.chat_template,
        "max_shard_gb": stage.max_shard_gb,
    }
    return settings, files


def resolve(
    build: Builder, models: ModelRef | Sequence[ModelRef], base: ModelRef | None
) -> tuple[dict[str, str], str | None]:
    """Find the models of a merge, by cluster or as the recipe names them, and its base. Raises RecipeError."""
    if isinstance(models, Reference):
        found = dict(build.resolve_group(models, "models"))
    else:
        found = {str(model): build.resolve(model, f"models.{index}") for index, model in enumerate(models)}
        if len(found) < len(models):
            raise build.error("models", "a model is listed twice; give it a larger weight instead")
    start = build.resolve(base, "base") if base else None
    return found, start


def add(
    build: Builder, id: str, models: Mapping[str, str], merge: Strategy[Any], weights: Mapping[str, Any],
    base: str | None = None, settings: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None,
    resources: Resources | None = None,
) -> str:  # fmt: skip
    """Add the node of one merge, and return its id.

    models: node ids or folders, by cluster or reference. settings, files: see `settings_of`.
    """
    inputs = {**inputs_of(models, base), **(files or {})}
    known = {"models": list(models), "weights": [weights[name] for name in models], **(settings or {})}
    execution = {"resources": (resources or Resources()).model_dump(mode="json")}
    return build.add(id, "merge", "checkpoint", known, inputs, {"merge": ("merge", merge)}, execution=execution)


def inputs_of(models: Mapping[str, str], base: str | None) -> dict[str, str]:
    """Give the models of a merge by the roles that they have in its node."""
    return {**{f"model.{name}": model for name, model in models.items()}, **({"base": base} if base else {})}


def merge(work: Work) -> Mapping[str, Any]:
    """Run one merge."""
    weights = dict(zip(work.setting("models"), work.setting("weights"), strict=True))
    (account,) = run_all(work.registry, [(work.strategy("merge"), job(work, work.out, weights))])
    return account


def check_merge(work: Work) -> Mapping[str, Any]:
    """Check what a node merged."""
    models, base = _models(work)
    lines, per_language = work.inputs["lines"], work.setting("per_language")
    report = check(work.registry, work.inputs["merged"], (*models, base), lines, per_language, work.setting("device"))
    (work.out / "check.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _models(work: Work) -> tuple[tuple[MergeInput, ...], MergeInput | None]:
    models = tuple(MergeInput(name, work.inputs[f"model.{name}"]) for name in work.setting("models"))
    return models, MergeInput("base", work.inputs["base"]) if "base" in work.inputs else None


def job(work: Work, out: Path, weights: Mapping[str, Any], scratch: Path | None = None) -> MergeJob:
    """Make the job of a node that merges. weights: by model. scratch: the node's own if None."""
    models, base = _models(work)
    settings = work.node.settings
    tokenizer = work.setting("tokenizer") if "tokenizer" in settings else None
    return MergeJob(
        models=models,
        out=out,
        weights=MergeParameter(dict(weights)),
        seed=work.node.seed,
        base=base,
        dtype=settings.get("dtype"),
        shard_bytes=int(settings.get("max_shard_gb", 4.0) * 1e9),
        scratch=scratch or work.scratch,
        vocabulary=Vocabulary.model_validate(tokenizer) if tokenizer else Vocabulary(),
        chat_template=settings.get("chat_template"),
        resources=Resources.model_validate(settings["resources"]),
        report=lambda done, total: work.report(done, total, {}),
    )


def run_all(registry: Registry, merges: Sequence[tuple[Strategy[AnyMerge], MergeJob]]) -> list[Mapping[str, Any]]:
    """Merge with strategies, lifted by the installed engine where they work by tensor, and return the accounts.

    Merges by tensor go through their models together. Each `job.out` is filled.
    """
    accounts: dict[int, Mapping[str, Any]] = {}
    lifted: dict[int, tuple[TensorMerge | PieceMerge | WholeModelMerge, MergeJob]] = {}
    for index, (strategy, given) in enumerate(merges):
        built = strategy.build()
        described = given.described(registry.dump("merge", strategy))
        if isinstance(built, CheckpointMerge):
            accounts[index] = built.merge(described)
        elif isinstance(built, (PieceMerge, WholeModelMerge)) or callable(built):
            lifted[index] = (built, described)
        else:
            raise PluginError(
                f"merge '{registry.name_of('merge', strategy)}' built {type(built).__name__}; expected a merge "
                "of tensors, in pieces, of whole models or of checkpoints (aya_core.contract.merges)"
            )
    if lifted:
        accounts.update(zip(lifted, engine(registry).merge(list(lifted.values())), strict=True))
    return [accounts[index] for index in range(len(merges))]


def check(
    registry: Registry, merged: Path, models: Sequence[MergeInput | None], lines: Path, per_language: int, device: str
) -> Mapping[str, Any]:
    """Load a merged checkpoint, and score lines with it and with what it was made of. models: None is left out."""
    checking = engine(registry)
    if not isinstance(checking, CheckingEngine):
        raise PluginError(f"merge engine '{type(checking).__name__}' cannot check what it made; leave the check out")
    others = list(dict.fromkeys(model for model in models if model))
    return checking.check([MergeInput("the merge", merged), *others], lines, per_language, device)


def engine(registry: Registry) -> MergeEngine:
    """The merge engine that is installed. Raises PluginError where there is none."""
    found: MergeEngine | None = registry.manager.hook.aya_merge_engine()
    if found is None:
        raise PluginError(
            "no plugin offers a merge engine (hook aya_merge_engine); unblock 'aya-merges' or install one"
        )
    return found


def checkpoint_folder(text: str) -> Path:
    """The folder of a checkpoint named by path, or inside an artifact."""
    folder = Path(text).expanduser().resolve()
    return folder / "payload" if (folder / "artifact.json").is_file() else folder
