"""What each stage of a recipe can set, and what is checked of it by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from aya_core.errors import did_you_mean
from aya_core.explain import SettingsError
from aya_core.guards import Guards
from aya_core.languages import check_language
from aya_core.merges import Check, Means, Vocabulary
from aya_core.registry import NAME
from aya_core.requests import Sampling
from aya_core.searched import Over
from aya_core.strategies import (
    ModelRef,
    RowsRef,
    Settings,
    nested,
    nested_for_each_model,
    nested_or_several,
    reference_or_nested,
)
from aya_core.varying import Varying

Language = Annotated[str, AfterValidator(check_language)]


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"'{value}' is not lower case words joined by hyphens")
    return value


Name = Annotated[str, AfterValidator(_name)]


class Pick(Settings):
    """Which judged answers become data. Chosen and rejected answers always differ, by more than white space."""

    rejected: Literal["worst", "runner-up", "random", "all"] = Field(
        "worst",
        description="Which answer the best is paired with; `random` is any other with a lower score, `all` pairs every "
        "answer with every lower one.",
    )
    min_margin: float = Field(
        0.0, ge=0, description="Pairs whose margin is not above this are dropped; at 0, that drops ties."
    )
    min_margins: dict[Language, Annotated[float, Field(ge=0)]] = Field(
        {}, description="`min_margin` of a language, by code."
    )
    ties: Literal["draw", "drop"] = Field(
        "draw",
        description="What happens where unlike answers share the best score: one is drawn by a hash of prompt, teacher and "
        "index, or the prompt is dropped.",
    )
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Drop prompts this much like an earlier one of their language, and pairs of answers this much alike: "
        "shared character 4-grams over all of them (Jaccard), such as 0.8.",
    )
    most_per_language: int | None = Field(None, ge=1, description="Rows of a language at the most, drawn by hash.")
    teacher_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a language's rows that one teacher may have (as the chosen one, in pairs), drawn by hash.",
    )


def _check_own(own: float, each: str | None) -> None:
    if each is None and own != 1.0:
        raise ValueError("`own` is about the rows of a cluster; it goes with `each: cluster`")


TEACHING = ("languages", "sampling", "limit")
"""What an arbitrage stage sets beside a teacher's own settings."""


class Teaching(Settings):
    """A teacher of the pool. `{use: ...}` alone is short for `{teacher: {use: ...}}`."""

    teacher: nested("teacher") = Field(description="The teacher.")  # type: ignore[valid-type]
    languages: tuple[Language, ...] | None = Field(None, description="Languages it is asked in; None means all.")
    sampling: Sampling | None = Field(None, description="How it is asked; None takes the stage's sampling.")
    limit: int | None = Field(None, ge=1, description="Prompts it is asked at the most, drawn by hash.")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, dict) and "use" in value:
            own = {key: value[key] for key in TEACHING if key in value}
            return {"teacher": {key: value[key] for key in value if key not in own}, **own}
        return value


class StageSettings(Settings):
    """What every stage has."""

    do: str
    name: Name = Field(description="By which later stages refer to it.")


class DataStage(StageSettings):
    """Read a data set once, to be used by several stages."""

    do: Literal["data"] = "data"
    rows: nested("dataset") = Field(description="The data set.")  # type: ignore[valid-type]
    kind: Literal["prompts", "demonstrations", "preferences", "groups"] = Field(
        "prompts", description="What its rows are; groups are scored demonstrations, several to a prompt."
    )


class TrainStage(StageSettings):
    """Make a checkpoint, or one per cluster, from a checkpoint and data."""

    do: Literal["train"] = "train"
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
        _check_own(self.own, self.each)
        return self


class MakesOneOfSeveral(StageSettings):
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
    chat_template: str | None = Field(None, description="A chat template to store, as text; None keeps the base's.")
    max_shard_gb: float = Field(4.0, gt=0, description="Largest file of weights, GB (10^9 bytes).")
    means: Means = Field(Means(), description="With how many threads, how much memory and on what it is done.")


class MergeStage(MakesOneOfSeveral):
    """Make one checkpoint of several."""

    do: Literal["merge"] = "merge"
    weights: dict[str, Varying] | tuple[float, ...] | None = Field(
        None,
        description="Weight of each model, by cluster or in the order of `models`; None means 1 each. By cluster, one "
        "may be a gradient over the layers, or have rules by tensor.",
    )
    check: Check | None = Field(None, description="Load the result, and compare its perplexity with the models'.")


class SearchStage(MakesOneOfSeveral):
    """Make one checkpoint of several, by the weights that score best on validation data."""

    do: Literal["search"] = "search"
    over: Over = Field(
        default="weights",
        validate_default=True,
        description="What is searched: `weights`, one for each model, 1 in the mean; or a mapping of `weights: simplex` and of "
        "settings of the merge to [low, high].",
    )
    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(  # type: ignore[valid-type]
        None, description="Validation prompts to be answered, for an evaluator of answers."
    )
    teacher: nested_for_each_model() = Field(  # type: ignore[valid-type]
        default={"use": "transformers"}, validate_default=True, description="How each candidate is run."
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
        None, ge=3, description="Merges in a generation, all on disk at the same time; None leaves it to the optimiser."
    )


class ArbitrageStage(StageSettings):
    """Ask a pool of teachers, judge their answers, pick the best ones and pairs."""

    do: Literal["arbitrage"] = "arbitrage"
    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(None, description="What is asked.")  # type: ignore[valid-type]
    teachers: dict[Name, Teaching] | None = Field(None, description="The pool, by name.")
    answers: Name | None = Field(
        None, description="An earlier arbitrage stage whose prompts and answers are used instead of asking anew."
    )
    router: nested("router") = Field(default={"use": "all"}, validate_default=True, description="Who is asked.")  # type: ignore[valid-type]
    sampling: Sampling = Field(Sampling(), description="How teachers are asked.")
    arbiter: nested("arbiter") = Field(description="Who judges.")  # type: ignore[valid-type]
    pick: Pick = Field(Pick(), description="What is kept.")

    @model_validator(mode="after")
    def _asks_or_reuses(self) -> ArbitrageStage:
        asks = self.prompts is not None and bool(self.teachers)
        asks_at_all = bool({"prompts", "teachers", "sampling"} & self.model_fields_set)
        if (self.answers is None and not asks) or (self.answers is not None and asks_at_all):
            raise ValueError("expected either `prompts` and `teachers`, or `answers` of an earlier arbitrage stage")
        return self


class OnlineStage(StageSettings):
    """Rounds of: sample from the current model, judge, pair, train, merge."""

    do: Literal["online"] = "online"
    start: ModelRef = Field(description="The model before the first round.")
    iterations: int = Field(3, ge=1, description="Rounds. Aya Expanse takes three (arXiv 2412.04261, section 2.2).")
    prompts: reference_or_nested(RowsRef, "dataset") = Field(  # type: ignore[valid-type]
        description="Shared out evenly over the rounds, so that each round sees new prompts."
    )
    teacher: nested_for_each_model() = Field(  # type: ignore[valid-type]
        default={"use": "transformers"}, validate_default=True, description="How the model is run."
    )
    sampling: Sampling = Field(Sampling(temperature=1.0, n=8), description="How it is asked; n > 1.")
    arbiter: nested("arbiter") = Field(description="Who ranks the samples.")  # type: ignore[valid-type]
    pick: Pick = Field(Pick(), description="Which pairs are made.")
    trainer: nested("trainer") = Field(description="How to train.")  # type: ignore[valid-type]
    data: Literal["pairs", "best", "groups"] = Field(
        "pairs",
        description="Train on pairs, on the best answers alone (a control), or on all scored answers of each prompt, for "
        "objectives over groups.",
    )
    objective: nested_or_several("objective") | None = Field(  # type: ignore[valid-type]
        None, description="Loss, or a list with one for each round."
    )
    reference: Literal["initial", "previous", "merged"] = Field(
        "merged",
        description="Reference of each round: the stage's start (`initial`), the model that the round starts from and samples "
        "(`merged`), or the cluster's own run of the round before, not merged yet (`previous`).",
    )
    each: Literal["cluster"] | None = Field(None, description="`cluster`: train one run per cluster, then merge.")
    own: float = Field(1.0, gt=0, le=1, description="With each: share of rows in own and shared languages.")
    merge: nested("merge") | None = Field(None, description="How each round's runs are merged.")  # type: ignore[valid-type]
    guards: Guards | None = Field(
        default={},
        validate_default=True,
        description="What is measured after each round, and when that ends the rounds; null measures nothing.",
    )

    @model_validator(mode="after")
    def _merges_what_it_splits(self) -> OnlineStage:
        if (self.each is None) != (self.merge is None):
            raise ValueError("`each: cluster` and `merge` go together: a round ends in one model")
        if self.data != "best" and self.sampling.n < 2:
            raise ValueError(f"sampling.n is 1; expected 2 answers or more per prompt, to make {self.data} of")
        _check_own(self.own, self.each)
        return self

    @model_validator(mode="after")
    def _has_an_objective_for_each_round(self) -> OnlineStage:
        if isinstance(self.objective, tuple) and len(self.objective) != self.iterations:
            told = f"{len(self.objective)} objectives for {self.iterations} rounds"
            raise SettingsError([(("objective",), f"{told}; expected one for all, or a list of {self.iterations}")])
        return self

    def objective_of(self, round: int) -> Any:
        """The loss of a round, counted from 1; None where the trainer needs none."""
        return self.objective[round - 1] if isinstance(self.objective, tuple) else self.objective


class EvaluateStage(StageSettings):
    """Score models on the same rows."""

    do: Literal["evaluate"] = "evaluate"
    models: tuple[ModelRef, ...] = Field(min_length=1, description="In the order of the report; the first is the base.")
    controls: tuple[ModelRef, ...] = Field((), description="Models outside the recipe's line, reported beside it.")
    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(  # type: ignore[valid-type]
        None, description="Held-out prompts to be answered, for evaluators of answers."
    )
    teacher: nested_for_each_model() = Field(  # type: ignore[valid-type]
        default={"use": "transformers"}, validate_default=True, description="How each model is run."
    )
    sampling: Sampling = Field(Sampling(), description="How the models are asked.")
    greedy: bool = Field(True, description="Answer greedily as well, and report both.")
    evaluators: dict[Name, nested("evaluator")] = Field(min_length=1, description="By name; the first is the headline.")  # type: ignore[valid-type]
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="Columns of tables: means of several evaluators' main metrics, {discriminative: [xcopa, xwinograd]}, which they "
        "stand in place of; or of other metrics, {xCOMET: [flores.xcomet]}.",
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


Stage = DataStage | TrainStage | MergeStage | SearchStage | ArbitrageStage | OnlineStage | EvaluateStage

STAGES: Mapping[str, type[StageSettings]] = {
    str(stage.model_fields["do"].default): stage
    for stage in (DataStage, TrainStage, MergeStage, SearchStage, ArbitrageStage, OnlineStage, EvaluateStage)
}
"""What a stage can do."""
