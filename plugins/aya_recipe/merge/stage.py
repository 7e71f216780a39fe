"""The stage `merge`: one checkpoint of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aya_core.api import Action, Builder, Field, LocalFile, MergeParameter, Settings
from aya_recipe.merge import merging


class Check(Settings):
    """How a merged checkpoint is checked against what it was merged from."""

    lines: LocalFile = Field(description="JSONL or Parquet file with the columns text and language.")
    per_language: int = Field(8, ge=1, description="Lines read of each language.")


class MergeStage(merging.MakesOneOfSeveral):
    """Make one checkpoint of several."""

    actions: ClassVar[Mapping[str, Action]] = {
        # 2: config.json unties heads that differ, cards name hub ids; 3: merge.yaml lies beside
        "merge": Action(merging.merge, version=3),
        "check-merge": Action(merging.check_merge),
    }

    weights: dict[str, MergeParameter] | tuple[float, ...] | None = Field(
        None,
        description="Weight of each model, by cluster or in the order of `models`; None means 1 each. By cluster, one "
        "may be a gradient over the layers, or have rules by tensor.",
    )
    check: Check | None = Field(None, description="Load the result, and compare its perplexity with the models'.")

    def unroll(self, build: Builder) -> None:
        """One node that merges, and one that checks what was made, if asked."""
        models, base = merging.resolve(build, self.models, self.base)
        weights = merging.weights_of(self.weights, build, list(models))
        merged = merging.add(
            build,
            self.name,
            models,
            self.merge,
            weights,
            base,
            *merging.settings_of(self, build, models),
            self.resources,
        )
        build.name(self.name, merged)
        if self.check:
            inputs = {
                "merged": merged,
                **merging.inputs_of(models, base),
                "lines": build.file(self.check.lines, "check.lines"),
            }
            settings = {
                "models": list(models),
                "per_language": self.check.per_language,
                "device": self.resources.device,
            }
            build.add(f"{self.name}.check", "check-merge", "check", settings, inputs)
