"""The stage `data`: read a data set once, to be used by several stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from aya_core.api import Action, Builder, Field, Stage, nested
from aya_recipe.data import selecting


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
