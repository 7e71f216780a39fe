"""The stage `search`: one checkpoint of several, by the weights that score best on validation data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from aya_core.api import (
    EACH,
    Action,
    AyaError,
    Builder,
    Field,
    PluginError,
    RowsRef,
    Sampling,
    Section,
    SettingsError,
    StageRecord,
    did_you_mean,
    nested,
    nested_for_each_model,
    reference_or_nested,
)
from aya_recipe.merge import merging
from aya_recipe.options import defaults
from aya_recipe.search import refusals, report, search
from aya_recipe.search.refusals import ScoredOn
from aya_recipe.search.space import Over, space_of

BETWEEN = 0.618
"""Where between its bounds a setting is checked as well: a number that is no whole one."""


class SearchStage(merging.MakesOneOfSeveral):
    """Make one checkpoint of several, by the weights that score best on validation data."""

    actions: ClassVar[Mapping[str, Action]] = {
        "hold-apart": Action(refusals.hold_apart),
        "search": Action(search.search, version=2),  # 2: merge.yaml
    }

    over: Over = Field(
        default="weights",
        validate_default=True,
        description="What is searched: `weights`, one for each model, 1 in the mean; or a mapping of `weights: simplex` and of "
        "settings of the merge to [low, high].",
    )
    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(  # type: ignore[valid-type]
        None, description="Validation prompts to be answered, for an evaluator of answers."
    )
    teacher: nested_for_each_model() | None = Field(  # type: ignore[valid-type]
        None, description="How each candidate is run; None takes `transformers`."
    )
    sampling: Sampling = Field(
        Sampling(temperature=0.0), description="How candidates are asked; greedily, unless this says otherwise."
    )
    evaluator: nested("evaluator") = Field(description="Its main metric decides, on validation data.")  # type: ignore[valid-type]
    goal: Literal["max", "min"] | None = Field(
        None, description="Which end of the metric is better; None where the evaluator knows."
    )
    budget: int = Field(32, ge=2, description="Merges that are tried, the uniform one first and among them.")
    population: int | None = Field(
        None, ge=3, description="Merges in a generation, all on disk at the same time; None leaves it to the optimizer."
    )

    def unroll(self, build: Builder) -> None:
        """A node that holds validation data apart from what is reported, and one that merges and scores."""
        models, base = merging.resolve(build, self.models, self.base)
        if len(models) < 2:
            raise build.error(
                "models",
                "there is one model, so there is nothing to search; expected two or more, or a stage with one per cluster",
            )
        _check_space(self, build, models)
        try:
            search.optimizer_of(build.registry)
        except PluginError as error:
            raise build.error("", str(error)) from None
        shared, files = merging.settings_of(self, build, models)
        merging.check_models(build, self.merge, models, base, shared)
        inputs = {**merging.inputs_of(models, base), **files}
        if self.evaluator.needs_answers:
            if self.prompts is None:
                raise build.error("prompts", "missing; the evaluator here scores answers to prompts")
            inputs["prompts"] = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
        apart = refusals.add(build, self._scored_on())
        if apart is not None:
            inputs["apart"] = apart
        settings = {
            "models": list(models), **shared,
            "over": self.over, "sampling": self.sampling.model_dump(mode="json"), "goal": _goal(self, build),
            "budget": self.budget, "population": self.population,
        }  # fmt: skip
        strategies = {
            "merge": ("merge", self.merge),
            "evaluator": ("evaluator", self.evaluator),
            "teacher": ("teacher", defaults.teacher_of_checkpoints(build, self.teacher)),
        }
        execution = {"resources": self.resources.model_dump(mode="json")}
        build.name(
            self.name,
            build.add(self.name, "search", "checkpoint", settings, inputs, strategies, model=EACH, execution=execution),
        )

    def review(self, build: Builder) -> None:
        """See that nothing is searched on what is reported."""
        refusals.check(build, self._scored_on())

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """What the search found."""
        return report.section(stage)

    def _scored_on(self) -> ScoredOn:
        return ScoredOn(self.name, self.prompts, {"evaluator": self.evaluator})


def _check_space(stage: SearchStage, build: Builder, models: Mapping[str, str]) -> None:
    """Refuse settings that the merge lacks, and bounds within which it does not work."""
    fields = set(type(stage.merge).model_fields)
    spec = build.registry.dump("merge", stage.merge)
    for name, limits in stage.over.items():
        if limits is None:
            continue
        if name not in fields:
            raise build.error(
                f"over.{name}", f"merge '{spec['use']}' has no such setting; {did_you_mean(name, fields)}"
            )
        low, high = limits
        for value in (low, high, low + BETWEEN * (high - low)):
            try:
                build.registry.validate("merge", {**spec, name: value})
            except SettingsError as error:
                raise build.error(f"over.{name}", f"at {value:g}, merge '{spec['use']}' says: {error}") from None
    try:
        space_of(stage.merge, list(models), stage.over)
    except AyaError as error:
        raise build.error("over", str(error)) from None


def _goal(stage: SearchStage, build: Builder) -> str:
    """Which end of the metric is better, as the evaluator or the recipe says."""
    name = build.registry.name_of("evaluator", stage.evaluator)
    if stage.evaluator.rival is not None:
        raise build.error(
            "evaluator",
            f"'{name}' compares a model with a rival; a search scores each merge by itself, by one model's metric",
        )
    own = next((metric.better for metric in stage.evaluator.metrics.values()), None)
    if own is None and stage.goal is None:
        raise build.error("goal", f"missing; expected max or min, as evaluator '{name}' does not say which is better")
    if own is not None and stage.goal not in (None, own):
        raise build.error("goal", f"{stage.goal}imizing '{name}' makes models worse: {own} is better; remove `goal`")
    return str(own or stage.goal)
