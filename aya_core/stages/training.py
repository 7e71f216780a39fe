"""Training: one checkpoint, or one per language cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.artifacts import count_rows
from aya_core.errors import DataError
from aya_core.kinds import READS_DEFAULT, TrainingJob
from aya_core.plan import Builder
from aya_core.stage_settings import TrainStage
from aya_core.stages import launching, reading
from aya_core.stages.work import Report, Work
from aya_core.strategies import Strategy


def unroll(stage: TrainStage, build: Builder) -> None:
    """Nodes that choose rows and train, once or once per cluster."""
    kind = reads(stage.trainer)
    check(build, stage.trainer, stage.objective)
    if stage.reference is not None and stage.objective is not None and not needs_reference(stage.objective):
        said = build.registry.name_of("objective", stage.objective)
        raise build.error("reference", f"objective '{said}' compares the policy with none; remove it")
    if kind == "judged" and (stage.each is not None or stage.limit is not None):
        raise build.error("data", "verdicts cannot be chosen from by row or language; remove `each` and `limit`")
    if kind == "any" and stage.validation is not None:
        raise build.error("validation", "this trainer learns from no row, so it measures on none; remove it")
    if stage.each is None:
        rows = build.rows(stage.data, "data", kind, f"{stage.name}.data")
        if stage.limit is not None:
            rows = reading.select(build, rows, f"{stage.name}.chosen", kind, build.recipe.languages, 1.0, stage.limit)
        build.name(stage.name, _add(stage, build, stage.name, rows, None, _validation(stage, build, kind)))
        return
    results = {}
    for cluster in build.clusters("each"):
        rows = build.rows(stage.data, "data", kind, f"{stage.name}.data", cluster=cluster)
        languages = build.recipe.cluster_languages(cluster)
        chosen = reading.select(build, rows, f"{stage.name}.data@{cluster}", kind, languages, stage.own, stage.limit)
        held_out = _validation(stage, build, kind, cluster)
        results[cluster] = _add(stage, build, f"{stage.name}@{cluster}", chosen, cluster, held_out)
    build.name(stage.name, results)


def _validation(stage: TrainStage, build: Builder, kind: str, cluster: str | None = None) -> str | None:
    """The held-out rows; of a cluster, those in its languages."""
    if stage.validation is None:
        return None
    rows = build.rows(stage.validation, "validation", kind, f"{stage.name}.validation", cluster=cluster)
    if cluster is None:
        return rows
    languages = build.recipe.cluster_languages(cluster)
    return reading.select(build, rows, f"{stage.name}.validation@{cluster}", kind, languages, 1.0, None)


def _add(stage: TrainStage, build: Builder, id: str, rows: str, cluster: str | None, validation: str | None) -> str:
    start = build.resolve(stage.start, "start", cluster=cluster) if stage.start else None
    reference = build.resolve(stage.reference, "reference", cluster=cluster) if stage.reference else start
    return add(build, id, rows, stage.trainer, stage.objective, start=start, reference=reference, validation=validation)


def add(
    build: Builder, id: str, rows: str, trainer: Strategy[Any], objective: Strategy[Any] | None, *,
    start: str | None, reference: str | None, validation: str | None = None,
) -> str:  # fmt: skip
    """Add the node of one training run, and return its id. start, reference: node ids or models of the user's.

    validation: held-out rows.
    """
    inputs = {"rows": rows, **({"validation": validation} if validation else {})}
    settings: dict[str, str | None] = {}
    models = {"start": start, "reference": reference if objective and needs_reference(objective) else None}
    for role, model in models.items():
        if model is not None and (model in build.nodes or Path(model).is_absolute()):
            inputs[role] = model
            settings[role] = f"${role}"
        else:
            settings[role] = model  # a hub id, or none
    strategies = {"trainer": ("trainer", trainer)}
    if objective is not None:
        strategies["objective"] = ("objective", objective)
    recorded = {"reference_model": models["reference"]} if models["reference"] else {}
    return build.add(id, "train", "checkpoint", settings, inputs, strategies, incidental=recorded)


def reads(trainer: Strategy[Any]) -> str:
    """Which kind of rows a trainer reads."""
    return str(getattr(trainer, "reads", READS_DEFAULT))


def needs_reference(objective: Strategy[Any] | None) -> bool:
    """Whether an objective compares the policy with a reference."""
    return bool(getattr(objective, "needs_reference", True))


def check(build: Builder, trainer: Strategy[Any], objective: Strategy[Any] | None) -> None:
    """Refuse a trainer without the objective it needs, and an objective that nothing uses."""
    needs = bool(getattr(trainer, "needs_objective", False))
    name = build.registry.name_of("trainer", trainer)
    if needs and objective is None:
        raise build.error("objective", f"trainer '{name}' needs one; expected {{use: dpo}}, say")
    if objective is not None and not needs:
        raise build.error("objective", f"trainer '{name}' uses none; remove it")
    if objective is not None:
        wanted, found = getattr(trainer, "objective_over", "pairs"), getattr(objective, "over", "pairs")
        if wanted != found:
            said = build.registry.name_of("objective", objective)
            raise build.error("objective", f"'{said}' is a loss over {found}, trainer '{name}' takes one over {wanted}")


def train(work: Work) -> Mapping[str, Any]:
    """Run one training job."""
    if count_rows(work.inputs["rows"]) == 0:
        raise DataError(
            f"there are no rows to train on: '{work.node.inputs.get('rows', 'the folder')}' is empty. For pairs, its "
            "measures in artifact.json count why prompts gave none; sample more answers, or lower pick.min_margin"
        )
    launcher = getattr(work.strategy("trainer"), "launcher", None)
    return launching.launch(work, launcher) if launcher else train_here(work, work.log)


def train_here(work: Work, report: Report) -> Mapping[str, Any]:
    """Run one training job in this process."""
    start, reference = work.setting("start"), work.setting("reference")
    objective = work.strategy("objective") if "objective" in work.node.settings else None
    job = TrainingJob(
        rows=work.inputs["rows"],
        out=work.out,
        work=work.scratch,
        seed=work.node.seed,
        start=Path(start) if start else None,
        objective=objective.build() if objective else None,
        reference=Path(reference) if reference else None,
        needs_reference=needs_reference(objective),
        validation=work.inputs.get("validation"),
        contents=work.contents,
        store=work.store,
        report=report,
    )
    return work.strategy("trainer").build().train(job)  # type: ignore[no-any-return]
