"""Training: one checkpoint, or one per language cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.api import (
    Builder,
    DataError,
    ObjectiveStrategy,
    Report,
    Strategy,
    TrainerStrategy,
    TrainingJob,
    Work,
    count_rows,
    stable_hash,
)
from aya_recipe.train.launching import launch


def add(
    build: Builder, id: str, rows: str, trainer: TrainerStrategy, objective: ObjectiveStrategy | None, *,
    start: str | None, reference: str | None, validation: str | None = None,
) -> str:  # fmt: skip
    """Add the node of one training run, and return its id. start, reference: node ids or models of the user's.

    validation: held-out rows. Checkpoints along the run become nodes of their own, named `ID:step-STEP`.
    """
    inputs = {"rows": rows, **({"validation": validation} if validation else {})}
    settings: dict[str, str | None] = {}
    models = {"start": start, "reference": reference if objective and objective.needs_reference else None}
    for role, model in models.items():
        settings[role] = None if model is None else f"${role}"
        if model is not None:
            inputs[role] = model
    strategies: dict[str, tuple[str, Strategy[Any]]] = {"trainer": ("trainer", trainer)}
    if objective is not None:
        strategies["objective"] = ("objective", objective)
    recorded = {"reference_model": models["reference"]} if models["reference"] else {}
    build.add(id, "train", "checkpoint", settings, inputs, strategies, execution=recorded)
    for step in trainer.checkpoint_steps:
        along, folder = f"{id}:step-{step}", f"checkpoint-{step}"
        build.name(along, build.add(along, "import-model", "checkpoint", {}, {"model": id}, subpaths={"model": folder}))
    return id


def check(build: Builder, trainer: TrainerStrategy, objective: ObjectiveStrategy | None) -> None:
    """Refuse a trainer without the objective it needs, and an objective that nothing uses."""
    name = build.registry.name_of("trainer", trainer)
    if trainer.needs_objective and objective is None:
        raise build.error("objective", f"trainer '{name}' needs one; expected {{use: dpo}}, say")
    if objective is not None and not trainer.needs_objective:
        raise build.error("objective", f"trainer '{name}' uses none; remove it")
    if objective is not None:
        wanted, found = trainer.objective_over, objective.over
        if wanted != found:
            offered = build.registry.name_of("objective", objective)
            raise build.error(
                "objective", f"'{offered}' is a loss over {found}, trainer '{name}' takes one over {wanted}"
            )


def train(work: Work) -> Mapping[str, Any]:
    """Run one training job."""
    if count_rows(work.inputs["rows"]) == 0:
        raise DataError(
            f"there are no rows to train on: '{work.node.inputs.get('rows', 'the folder')}' is empty. For pairs, its "
            "measures in artifact.json count why prompts gave none; sample more answers, or lower pick.min_margin"
        )
    trainer: TrainerStrategy = work.strategy("trainer")
    return launch(work, trainer.launcher, train_here) if trainer.launcher else train_here(work, work.log)


def _alike(work: Work) -> Path | None:
    """Where runs that differ from this one in their length alone keep their state."""
    if work.store is None:
        return None
    node, trainer = work.node, dict(work.node.identity["trainer"])
    for name in work.strategy("trainer").length_settings:
        trainer.pop(name, None)
    same = {**node.identity, "trainer": trainer, "seed": node.seed, "code": node.code, "inputs": work.contents}
    return work.store / "training" / stable_hash(same)[:16]


def train_here(work: Work, report: Report) -> Mapping[str, Any]:
    """Run one training job in this process."""
    start, reference = work.setting("start"), work.setting("reference")
    objective: ObjectiveStrategy | None = work.strategy("objective") if "objective" in work.node.settings else None
    job = TrainingJob(
        rows=work.inputs["rows"],
        out=work.out,
        work=work.scratch,
        seed=work.node.seed,
        start=Path(start) if start else None,
        objective=objective.build() if objective else None,
        reference=Path(reference) if reference else None,
        needs_reference=objective is None or objective.needs_reference,
        validation=work.inputs.get("validation"),
        contents=work.contents,
        store=work.store,
        alike=_alike(work),
        stopping=work.stopping,
        report=report,
    )
    return work.strategy("trainer").build().train(job)  # type: ignore[no-any-return]
