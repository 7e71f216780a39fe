"""Training: one checkpoint, or one per language cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.artifacts import count_rows
from aya_core.errors import DataError
from aya_core.kinds import READS_DEFAULT, TrainingJob
from aya_core.plan import Builder
from aya_core.recipe import TrainStage
from aya_core.stages import reading
from aya_core.stages.work import Work
from aya_core.strategies import Strategy


def unroll(stage: TrainStage, build: Builder) -> None:
    """Nodes that choose rows and train, once or once per cluster."""
    kind = reads(stage.trainer)
    check(build, stage.trainer, stage.objective)
    if kind == "judged" and (stage.each is not None or stage.limit is not None):
        raise build.error("data", "verdicts cannot be chosen from by row or language; remove `each` and `limit`")
    if stage.each is None:
        rows = build.rows(stage.data, "data", kind, f"{stage.name}.data")
        if stage.limit is not None:
            rows = reading.select(build, rows, f"{stage.name}.chosen", kind, build.recipe.languages, 1.0, stage.limit)
        build.name(stage.name, _add(stage, build, stage.name, rows, None))
        return
    results = {}
    for cluster in build.clusters("each"):
        rows = build.rows(stage.data, "data", kind, f"{stage.name}.data", cluster=cluster)
        languages = build.recipe.cluster_languages(cluster)
        chosen = reading.select(build, rows, f"{stage.name}.data@{cluster}", kind, languages, stage.own, stage.limit)
        results[cluster] = _add(stage, build, f"{stage.name}@{cluster}", chosen, cluster)
    build.name(stage.name, results)


def _add(stage: TrainStage, build: Builder, id: str, rows: str, cluster: str | None) -> str:
    start = build.resolve(stage.start, "start", cluster=cluster) if stage.start else None
    reference = build.resolve(stage.reference, "reference", cluster=cluster) if stage.reference else start
    return add(build, id, rows, stage.trainer, stage.objective, start=start, reference=reference)


def add(
    build: Builder, id: str, rows: str, trainer: Strategy[Any], objective: Strategy[Any] | None, *,
    start: str | None, reference: str | None,
) -> str:  # fmt: skip
    """Add the node of one training run, and return its id. start, reference: node ids or models of the user's."""
    inputs = {"rows": rows}
    settings: dict[str, str | None] = {}
    models = {"start": start, "reference": reference if objective else None}
    for role, model in models.items():
        if model is not None and (model in build.nodes or Path(model).is_absolute()):
            inputs[role] = model
            settings[role] = f"${role}"
        else:
            settings[role] = model  # a hub id, or none
    strategies = {"trainer": ("trainer", trainer)}
    if objective is not None:
        strategies["objective"] = ("objective", objective)
    return build.add(id, "train", "checkpoint", settings, inputs, strategies)


def reads(trainer: Strategy[Any]) -> str:
    """Which kind of rows a trainer reads."""
    return str(getattr(trainer, "reads", READS_DEFAULT))


def check(build: Builder, trainer: Strategy[Any], objective: Strategy[Any] | None) -> None:
    """Refuse a trainer without the objective it needs, and an objective that nothing uses."""
    needs = bool(getattr(trainer, "needs_objective", False))
    name = build.registry.name_of("trainer", trainer)
    if needs and objective is None:
        raise build.error("objective", f"trainer '{name}' needs one; expected {{use: dpo}}, say")
    if objective is not None and not needs:
        raise build.error("objective", f"trainer '{name}' uses none; remove it")


def train(work: Work) -> Mapping[str, Any]:
    """Run one training job."""
    if count_rows(work.inputs["rows"]) == 0:
        raise DataError(
            f"there are no rows to train on: '{work.node.inputs.get('rows', 'the folder')}' is empty. For pairs, its "
            "measures in artifact.json count why prompts gave none; sample more answers, or lower pick.min_margin"
        )
    start, reference = work.setting("start"), work.setting("reference")
    job = TrainingJob(
        rows=work.inputs["rows"],
        out=work.out,
        work=work.scratch,
        seed=work.node.seed,
        start=Path(start) if start else None,
        objective=work.strategy("objective").build() if "objective" in work.node.settings else None,
        reference=Path(reference) if reference else None,
        report=work.log,
    )
    return work.strategy("trainer").build().train(job)  # type: ignore[no-any-return]
