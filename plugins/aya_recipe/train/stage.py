"""The stage `train`: one checkpoint, or one per language cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import model_validator

from aya_core.api import (
    Action,
    Builder,
    Field,
    ModelRef,
    RowsRef,
    Section,
    Stage,
    StageRecord,
    nested,
    reference_or_nested,
)
from aya_recipe.data import selecting
from aya_recipe.train import report, training


class TrainStage(Stage):
    """Make a checkpoint, or one per cluster, from a checkpoint and data."""

    actions: ClassVar[Mapping[str, Action]] = {"train": Action(training.train, stops=True, phrases=report.words)}

    trainer: nested("trainer") = Field(description="How to train.")  # type: ignore[valid-type]
    data: reference_or_nested(RowsRef, "dataset") = Field(description="Rows to train on.")  # type: ignore[valid-type]
    validation: reference_or_nested(RowsRef, "dataset") | None = Field(  # type: ignore[valid-type]
        None,
        description="Held-out rows to measure on during training; rows to train on with their prompts are left out.",
    )
    start: ModelRef | None = Field(None, description="The checkpoint to start from.")
    objective: nested("objective") | None = Field(None, description="Loss, for trainers that want one.")  # type: ignore[valid-type]
    reference: ModelRef | None = Field(None, description="Reference model of the objective; None takes `start`.")
    each: Literal["cluster"] | None = Field(None, description="`cluster`: one run per language cluster.")
    own: float = Field(
        1.0, gt=0, le=1, description="With each: share of rows in the cluster's own and the shared languages."
    )
    limit: int | None = Field(None, ge=1, description="Rows per run at the most, drawn by hash.")

    @model_validator(mode="after")
    def _own_is_about_clusters(self) -> TrainStage:
        selecting.check_own(self.own, self.each)
        return self

    def unroll(self, build: Builder) -> None:
        """Nodes that choose rows and train, once or once per cluster."""
        kind = self.trainer.reads
        training.check(build, self.trainer, self.objective)
        if self.reference is not None and self.objective is not None and not self.objective.needs_reference:
            offered = build.registry.name_of("objective", self.objective)
            raise build.error("reference", f"objective '{offered}' compares the policy with none; remove it")
        if kind == "judged" and (self.each is not None or self.limit is not None):
            raise build.error("data", "verdicts cannot be chosen from by row or language; remove `each` and `limit`")
        if kind == "any" and self.validation is not None:
            raise build.error("validation", "this trainer learns from no row, so it measures on none; remove it")
        if self.each is None:
            rows = build.rows(self.data, "data", kind, f"{self.name}.data")
            if self.limit is not None:
                rows = selecting.select(
                    build, rows, f"{self.name}.chosen", kind, build.recipe.languages, 1.0, self.limit
                )
            build.name(self.name, _add(self, build, self.name, rows, None, _validation(self, build, kind)))
            return
        results = {}
        for cluster in build.clusters("each"):
            rows = build.rows(self.data, "data", kind, f"{self.name}.data", cluster=cluster)
            languages = build.recipe.cluster_languages(cluster)
            chosen = selecting.select(build, rows, f"{self.name}.data@{cluster}", kind, languages, self.own, self.limit)
            held_out = _validation(self, build, kind, cluster)
            results[cluster] = _add(self, build, f"{self.name}@{cluster}", chosen, cluster, held_out)
        build.name(self.name, results)
        for step in self.trainer.checkpoint_steps:
            build.name(f"{self.name}:step-{step}", {cluster: f"{id}:step-{step}" for cluster, id in results.items()})

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """What training gained."""
        return report.section(stage)


def _validation(stage: TrainStage, build: Builder, kind: str, cluster: str | None = None) -> str | None:
    """The held-out rows; of a cluster, those in its languages."""
    if stage.validation is None:
        return None
    rows = build.rows(stage.validation, "validation", kind, f"{stage.name}.validation", cluster=cluster)
    if cluster is None:
        return rows
    languages = build.recipe.cluster_languages(cluster)
    return selecting.select(build, rows, f"{stage.name}.validation@{cluster}", kind, languages, 1.0, None)


def _add(stage: TrainStage, build: Builder, id: str, rows: str, cluster: str | None, validation: str | None) -> str:
    start = build.resolve(stage.start, "start", cluster=cluster) if stage.start else None
    reference = build.resolve(stage.reference, "reference", cluster=cluster) if stage.reference else start
    return training.add(
        build, id, rows, stage.trainer, stage.objective, start=start, reference=reference, validation=validation
    )
