"""The stage `data`: read a data set once, to be used by several stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from aya_core.api import Action, Alert, Builder, Field, Section, Stage, StageRecord, nested
from aya_recipe.data import left_out, selecting


class DataStage(Stage):
    """Read a data set once, to be used by several stages."""

    actions: ClassVar[Mapping[str, Action]] = {"select": Action(selecting.choose)}

    rows: nested("dataset") = Field(description="The data set.")  # type: ignore[valid-type]
    kind: Literal["prompts", "demonstrations", "preferences", "groups"] = Field(
        "prompts", description="What its rows are; groups are scored demonstrations, several to a prompt."
    )

    def unroll(self, build: Builder) -> None:
        """One step that holds the rows."""
        build.name(self.name, build.rows(self.rows, "rows", self.kind, self.name))

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """Which rows were left out for their language; None where none was."""
        alerts = [Alert(sentence) for sentence in left_out.sentences(stage)]
        return Section(f"{stage.name}: rows left out", {}, alerts) if alerts else None
