"""Merging: one checkpoint of several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aya_core.api import (
    AnyMerge,
    AyaError,
    Builder,
    CheckingEngine,
    CheckpointMerge,
    Field,
    ForeseeingEngine,
    MergeEngine,
    MergeInput,
    MergeJob,
    MergeParameter,
    MergeStrategy,
    ModelRef,
    PieceMerge,
    PluginError,
    Reference,
    Registry,
    Resources,
    Stage,
    Strategy,
    Surroundings,
    TensorMerge,
    Vocabulary,
    WholeModelMerge,
    Work,
    cached_commit,
    hub_model,
    is_number,
    nested,
)
from aya_recipe.merge.merge_yaml import write_merge


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
    chat_template: str | None = Field(
        None,
        description="A chat template to store: its text, a file (relative to the recipe), alpaca, chatml, exaone, llama3 or mistral, or "
        "auto, the most common among the models; None keeps the base's.",
    )
    allow: tuple[str, ...] = Field(
        (),
        description="Settings of config.json in which the models may differ though they say what weights mean, such as "
        "sliding_window; the merge has the base's, or the first model's.",
    )
    max_shard_gb: float = Field(4.0, gt=0, description="Largest file of weights, GB (10^9 bytes).")
    resources: Resources = Field(
        Resources(), description="With how many threads, how much memory and on what it is done."
    )

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Stage`: a device that is not there."""
        if missing := here.lacks_device(self.resources.device):
            yield f"resources: {missing}; set device to cpu, or take another machine"


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
        "chat_template": _template(stage, build),
        "max_shard_gb": stage.max_shard_gb,
        **({"allow": list(stage.allow)} if stage.allow else {}),
    }
    return settings, files


def _template(stage: MakesOneOfSeveral, build: Builder) -> str | None:
    """The chat template of a stage, as text where it lies in a file."""
    written = stage.chat_template
    if written is None or "{" in written or "\n" in written:
        return written
    try:
        return (build.loaded.folder / Path(written).expanduser()).read_text(encoding="utf-8")
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # no file, or a name that none can have; what else it may be, the engine knows
        return written


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

    models: node ids or folders, by cluster or reference. settings, files: see `settings_of`. Raises RecipeError where that merge
    cannot take those models.
    """
    check_models(build, merge, models, base, settings)
    if all(is_number(weights[name]) for name in models):
        try:
            merge.check_weights([weights[name] for name in models])  # type: ignore[attr-defined]
        except AyaError as error:
            raise build.error("weights", str(error)) from None
    inputs = {**inputs_of(models, base), **(files or {})}
    known = {"models": list(models), "weights": [weights[name] for name in models], **(settings or {})}
    execution = {"resources": (resources or Resources()).model_dump(mode="json")}
    return build.add(id, "merge", "checkpoint", known, inputs, {"merge": ("merge", merge)}, execution=execution)


def check_models(
    build: Builder,
    merge: Strategy[Any],
    models: Mapping[str, str],
    base: str | None,
    settings: Mapping[str, Any] | None,
) -> None:
    """Refuse a merge without the base that it needs, of a number of models that it cannot take, or of models whose
    configurations, where they are known by now, cannot be merged. Raises RecipeError."""
    assert isinstance(merge, MergeStrategy)
    name, count = build.registry.name_of("merge", merge), len(models)
    if merge.needs_base and base is None:
        raise build.error(
            "base", f"merge '{name}' works on differences from a base model; name the one they all came from"
        )
    least, most = merge.least_models, merge.most_models
    if count < least or (most is not None and count > most):
        limit = least if count < least else most
        bound = "exactly" if least == most else "at least" if count < least else "at most"
        beside = " beside the base" if merge.needs_base else ""
        raise build.error(
            "merge",
            f"'{name}' takes {bound} {limit} model{'s' * (limit != 1)}{beside}, and there are {count}: {', '.join(models)}; choose "
            "other models, or another merge (aya strategies list merge)",
        )
    engine = build.registry.manager.hook.aya_merge_engine()
    if not isinstance(engine, ForeseeingEngine):
        return
    named = {**({"base": base} if base else {}), **models}
    folders = {model: folder for model, id in named.items() if (folder := _configured_in(build, id)) is not None}
    known = settings or {}
    vocabulary, template = Vocabulary.model_validate(known.get("tokenizer", {})), known.get("chat_template")
    inputs = [MergeInput(model, folder) for model, folder in folders.items()]
    if template is not None:
        _foresee(build, "chat_template", engine, [], vocabulary, (), template)
    if settings is None:  # a round of online training, which sets nothing of this
        _foresee(
            build,
            "base" if base else "merge",
            engine,
            inputs,
            vocabulary,
            (),
            None,
            "; rounds merge models of one kind alone",
        )
    else:
        _foresee(build, "models", engine, inputs, vocabulary, known.get("allow", ()), None)


def _foresee(
    build: Builder, where: str, engine: ForeseeingEngine, inputs: Sequence[MergeInput], vocabulary: Vocabulary, allow: Sequence[str],
    template: str | None, more: str = "",
) -> None:  # fmt: skip
    try:
        engine.foresee(inputs, vocabulary, allow, template)
    except AyaError as error:
        raise build.error(where, f"{error}{more}") from None


def _configured_in(build: Builder, id: str) -> Path | None:
    """Where the config.json lies that a model has, or will have; None where that is not known yet.

    What is trained or merged has that of the model it starts from.
    """
    while id in build.nodes:
        node = build.nodes[id]
        found = {**node.inputs, **node.external}
        before = next(
            (found[role] for role in ("start", "base", "model", *found) if role in found and _is_model(role)), None
        )
        id = node.alias_of or before or ""
    if not id:
        return None
    folder = Path(id)
    model = None if folder.exists() else hub_model(id)
    if model is not None and (commit := cached_commit(model)):
        folder = model.snapshot(commit)
    return folder if (folder / "config.json").is_file() else None


def _is_model(role: str) -> bool:
    return role in ("start", "base", "model") or role.startswith("model.")


def weights_of(
    given: Mapping[str, MergeParameter] | Sequence[float] | None, build: Builder, models: Sequence[str]
) -> dict[str, Any]:
    """Give the weight of each model of a merge, 1 where none are given. Raises RecipeError for other numbers of them."""
    if given is None:
        return dict.fromkeys(models, 1.0)
    if isinstance(given, Mapping):
        if set(given) != set(models):
            raise build.error("weights", f"expected one weight for each of {', '.join(models)}; got {', '.join(given)}")
        return {name: weight.written for name, weight in given.items()}
    if len(given) != len(models):
        raise build.error("weights", f"expected {len(models)} weights, one per model; got {len(given)}")
    return dict(zip(models, given, strict=True))


def inputs_of(models: Mapping[str, str], base: str | None) -> dict[str, str]:
    """Give the models of a merge by the roles that they have in its node."""
    return {**{f"model.{name}": model for name, model in models.items()}, **({"base": base} if base else {})}


def merge(work: Work) -> Mapping[str, Any]:
    """Run one merge."""
    weights = dict(zip(work.setting("models"), work.setting("weights"), strict=True))
    (account,) = run_all(work.registry, [(work.strategy("merge"), job(work, work.out, weights))])
    write_merge(work, work.out, work.setting("merge"), weights)
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
        allow=tuple(settings.get("allow", ())),
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
