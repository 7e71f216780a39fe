"""The stage `evaluate`: every model answers the same prompts once, and every evaluator scores the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, model_validator

from aya_core.api import (
    Action,
    Builder,
    EvaluatorStrategy,
    Field,
    ModelRef,
    Name,
    PluginError,
    RowsRef,
    Sampling,
    Section,
    SettingsError,
    Stage,
    StageRecord,
    Strategy,
    did_you_mean,
    find,
    main_metric,
    nested,
    nested_for_each_model,
    reference_or_nested,
)
from aya_recipe.arbitrage import limiting, sampling
from aya_recipe.evaluate import contamination, evaluation, replying, report
from aya_recipe.evaluate.published import published_name
from aya_recipe.options import defaults


class EvaluateStage(Stage):
    """Score models on the same rows."""

    actions: ClassVar[Mapping[str, Action]] = {
        "request": Action(replying.collect),
        "reply": Action(replying.reply, resumes=True, asks=True),
        "evaluate": Action(evaluation.evaluate, resumes=True, version=2),
        limiting.LIMIT: limiting.ACTION,
        "find-contamination": Action(contamination.find),
    }

    models: tuple[ModelRef, ...] = Field(min_length=1, description="In the order of the report; the first is the base.")
    controls: tuple[ModelRef, ...] = Field((), description="Models outside the recipe's line, reported beside it.")
    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(  # type: ignore[valid-type]
        None, description="Held-out prompts to be answered, for evaluators of answers."
    )
    teacher: nested_for_each_model() | None = Field(  # type: ignore[valid-type]
        None, description="How each model is run; None takes `transformers`."
    )
    sampling: Sampling = Field(Sampling(), description="How the models are asked.")
    greedy: bool = Field(True, description="Answer greedily as well, and report both.")
    evaluators: dict[Name, nested("evaluator")] = Field(min_length=1, description="By name; the first is the headline.")  # type: ignore[valid-type]
    limit: int | None = Field(
        None,
        ge=1,
        description="For a quick look: so many rows or prompts of each language, drawn by a hash. Numbers are marked as such.",
    )
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="Columns of tables: means of several evaluators' main metrics, {discriminative: [xcopa, xwinograd]}, which they "
        "stand in place of; or of other metrics, {xCOMET: [flores.xcomet]}.",
    )
    published: Annotated[Name, AfterValidator(published_name)] | None = Field(
        None, description="Published numbers to show beside these, in columns of the same names: aya-expanse."
    )

    @model_validator(mode="after")
    def _groups_evaluators(self) -> EvaluateStage:
        for name, members in self.groups.items():
            for member in members:
                label = member.partition(".")[0]
                if label not in self.evaluators:
                    raise SettingsError(
                        [(("groups", name), f"no evaluator '{label}' here; {did_you_mean(label, self.evaluators)}")]
                    )
            if len(set(members)) < len(members):
                raise SettingsError([(("groups", name), "names a metric twice; each counts once")])
        return self

    def unroll(self, build: Builder) -> None:
        """A node per model for its answers, and a node per model and evaluator for its scores."""
        models = {str(model): build.resolve(model, f"models.{i}") for i, model in enumerate(self.models)}
        models |= {str(model): build.resolve(model, f"controls.{i}") for i, model in enumerate(self.controls)}
        for label, evaluator in self.evaluators.items():
            try:
                main_metric(evaluator.metrics, f"'{build.registry.name_of('evaluator', evaluator)}'")
            except PluginError as error:
                raise build.error(f"evaluators.{label}", str(error)) from None
        evaluators: dict[str, EvaluatorStrategy] = {
            label: _limited(build, label, one, self.limit) for label, one in self.evaluators.items()
        }
        asked = any(evaluator.needs_answers for evaluator in evaluators.values())
        if len(models) > 1 and self.teacher is not None:
            defaults.teacher_of_checkpoints(build, self.teacher)
        prompts = None
        answers: dict[str, str] = {}
        if asked:
            if self.prompts is None:
                raise build.error("prompts", "missing; an evaluator here scores answers to prompts")
            prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
            prompts = limiting.add(build, f"{self.name}.drawn", prompts, self.limit)
            teacher = defaults.teacher(build, self.teacher)
            for name, model in models.items():
                answers[name] = sampling.add(
                    build, f"{self.name}.answers@{name}", prompts, teacher, self.sampling, name=name, model=model, greedy=self.greedy
                )  # fmt: skip
        requests = {
            label: replying.add_requests(build, self.name, label, evaluator)
            for label, evaluator in evaluators.items()
            if evaluator.asks
        }
        replies = {
            name: replying.add_replies(build, self.name, name, model, requests, defaults.teacher(build, self.teacher))
            for name, model in models.items()
            if requests
        }
        known = {
            label: build.resolve(rows, f"evaluators.{label}")
            for label, evaluator in evaluators.items()
            for _, rows in find(evaluator, RowsRef)
        }
        asked_of = {**known, **requests, **({} if prompts is None else {evaluation.PROMPTS: prompts})}
        contamination.add(build, self.name, models.values(), asked_of)
        for label, evaluator in evaluators.items():
            rival = _rival(self, build, label, evaluator, prompts, answers)
            for name, model in models.items():
                inputs: dict[str, str] = {}
                if evaluator.needs_answers and prompts is not None:
                    inputs = {"prompts": prompts, "answers": answers[name]}
                    if rival is not None:
                        inputs["rival"] = rival
                settings: dict[str, object] = {"name": name, "greedy": self.greedy and bool(inputs)}
                if inputs and self.limit is not None:
                    settings[evaluation.LIMIT] = self.limit
                subpaths: dict[str, str] = {}
                if label in requests:
                    subpaths = {
                        evaluation.SCORES: replying.scores_of(label),
                        evaluation.COMPLETIONS: replying.completions_of(label),
                    }
                    inputs |= dict.fromkeys(subpaths, replies[name])
                strategies: dict[str, tuple[str, Strategy[Any]]] = {"evaluator": ("evaluator", evaluator)}
                if defaults.has_teacher(build, self.teacher):
                    strategies["teacher"] = ("teacher", defaults.teacher(build, self.teacher))
                build.add(
                    f"{self.name}.{label}@{name}", "evaluate", "scores", settings, inputs, strategies, model=model, subpaths=subpaths,
                    asked_by=("evaluator",), draws=False,
                )  # fmt: skip

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """What each model scored."""
        return report.section(stage)


def _limited(build: Builder, label: str, evaluator: EvaluatorStrategy, limit: int | None) -> EvaluatorStrategy:
    """An evaluator that keeps to the stage's limit: by its prompts, or by a setting of its own; a smaller one of its own stays."""
    if limit is None or evaluator.needs_answers:
        return evaluator
    if evaluation.LIMIT not in type(evaluator).model_fields:
        raise build.error(
            f"evaluators.{label}",
            "has rows of its own and no setting `limit`, so the stage's `limit` cannot be kept; leave one out",
        )
    own = dict(evaluator)[evaluation.LIMIT]
    return evaluator.model_copy(update={evaluation.LIMIT: limit if own is None else min(limit, own)})


def _rival(
    stage: EvaluateStage,
    build: Builder,
    label: str,
    evaluator: EvaluatorStrategy,
    prompts: str | None,
    answers: Mapping[str, str],
) -> str | None:
    """The node that holds the rival's answers: a model of the stage's, or a teacher who is asked once for all models."""
    against, where = evaluator.rival, f"evaluators.{label}.against"
    if against is None or prompts is None:
        return None
    if isinstance(against, Strategy):
        return sampling.add(
            build, f"{stage.name}.{label}.rival", prompts, against, stage.sampling, name="rival", greedy=stage.greedy, at=where
        )  # fmt: skip
    if against not in answers:
        raise build.error(where, f"no model '{against}' in this stage; {did_you_mean(against, answers)}")
    return answers[against]
