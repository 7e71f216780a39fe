"""Online preference training: rounds of sample, judge, pair, train and merge, each followed by its guards.

Makes, for later stages: `NAME.1`, `NAME.2`, ... (the model after each round), `NAME` (after the last), and of each round
`NAME.1.answers`, `NAME.1.verdicts`, `NAME.1.best`, `NAME.1.pairs`, with `data: groups` `NAME.1.groups`, and with `each: cluster`
`NAME.1.runs`, the runs before their merge. Where a guard ends the rounds, the names of those that are not done stand for what the
last one left, and the model is the last that passed.

Source: Aya Expanse, arXiv 2412.04261, section 2.2: three rounds; going on brought little and sometimes reward hacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import model_validator

from aya_core.api import (
    Action,
    Builder,
    Field,
    MergeParameter,
    ModelRef,
    RowsRef,
    Sampling,
    Section,
    SettingsError,
    Stage,
    StageRecord,
    nested,
    nested_for_each_model,
    nested_or_several,
    reference_or_nested,
)
from aya_recipe.arbitrage import judging, picking, sampling
from aya_recipe.arbitrage.picking import Pick
from aya_recipe.data import selecting
from aya_recipe.merge import merging
from aya_recipe.online import guarding, importing, report
from aya_recipe.online.guarding import Guarding
from aya_recipe.online.guards import Guards
from aya_recipe.options import defaults
from aya_recipe.train import training

WANTED = {"pairs": "preferences", "best": "demonstrations", "groups": "groups"}
"""The kind of rows by what a stage trains on."""


class Models(NamedTuple):
    """What a round leaves. merged: its model. runs: by cluster before the merge; empty where there are no clusters."""

    merged: str
    runs: Mapping[str, str]


class OnlineStage(Stage):
    """Rounds of: sample from the current model, judge, pair, train, merge."""

    actions: ClassVar[Mapping[str, Action]] = {
        "draw-prompts": Action(guarding.draw),
        "score-answers": Action(guarding.score_answers),
        "guard": Action(guarding.guard),
        "import-model": Action(importing.import_model),
    }

    start: ModelRef = Field(description="The model before the first round.")
    iterations: int = Field(3, ge=1, description="Rounds. Aya Expanse takes three (arXiv 2412.04261, section 2.2).")
    prompts: reference_or_nested(RowsRef, "dataset") = Field(  # type: ignore[valid-type]
        description="Shared out evenly over the rounds, so that each round sees new prompts."
    )
    teacher: nested_for_each_model() | None = Field(  # type: ignore[valid-type]
        None, description="How the model is run; None takes `transformers`."
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
    base: ModelRef | None = Field(
        None,
        description="The model they all came from, for merges that need it; None takes the one that the round starts from.",
    )
    weights: dict[str, MergeParameter] | tuple[float, ...] | None = Field(
        None,
        description="Weight of each cluster's run in the merge, by cluster or in the recipe's order; None means 1 each.",
    )
    guards: Guards | None = Field(
        default={},
        validate_default=True,
        description="What is measured after each round, and when that ends the rounds; null measures nothing.",
    )

    @model_validator(mode="after")
    def _merges_what_it_splits(self) -> OnlineStage:
        if (self.each is None) != (self.merge is None):
            raise ValueError("`each: cluster` and `merge` go together: a round ends in one model")
        if self.merge is None and (self.base is not None or self.weights is not None):
            raise ValueError("`base` and `weights` are those of `merge`, and nothing is merged here; remove them")
        if self.data != "best" and self.sampling.n < 2:
            raise ValueError(f"sampling.n is 1; expected 2 answers or more per prompt, to make {self.data} of")
        selecting.check_own(self.own, self.each)
        return self

    @model_validator(mode="after")
    def _has_an_objective_for_each_round(self) -> OnlineStage:
        if isinstance(self.objective, tuple) and len(self.objective) != self.iterations:
            message = f"{len(self.objective)} objectives for {self.iterations} rounds"
            raise SettingsError([(("objective",), f"{message}; expected one for all, or a list of {self.iterations}")])
        return self

    def objective_of(self, round: int) -> Any:
        """The loss of a round, counted from 1; None where the trainer needs none."""
        return self.objective[round - 1] if isinstance(self.objective, tuple) else self.objective

    def unroll(self, build: Builder) -> None:
        """Each round becomes nodes of its own; round r samples from the model that round r - 1 made."""
        for round in range(1, self.iterations + 1):
            training.check(build, self.trainer, self.objective_of(round))
        if self.trainer.reads != WANTED[self.data]:
            read, given = self.trainer.reads, WANTED[self.data]
            raise build.error("data", f"the trainer reads {read}, `data: {self.data}` gives {given}")
        prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
        start = build.resolve(self.start, "start")
        teacher = defaults.teacher_of_checkpoints(build, self.teacher)
        guards = self.guards
        guarding = Guarding.begin(build, self.name, guards, self.sampling, teacher, prompts, start) if guards else None
        ends_early = self.guards is not None and self.guards.stop.are_set
        passed = _stand_in(self, build, start) if ends_early else start
        models = Models(start, {})
        for round in range(1, self.iterations + 1):
            name = f"{self.name}.{round}"
            begun = len(build.nodes)
            models = _round(self, build, name, round, prompts, models, start)
            guard = guarding.add(round, models.merged) if guarding else ""
            if not ends_early:
                passed = models.merged
            else:
                for id in list(build.nodes)[begun:] if round > 1 else ():
                    before = f"{self.name}.{round - 1}"
                    build.guard(id, f"{before}.guard", before + id.removeprefix(name))
                passed = build.choose(f"{name}.passed", models.merged, guard, passed)
            build.name(name, passed)
        build.name(self.name, passed)

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """What came of the rounds."""
        return report.section(stage)


def _round(
    stage: OnlineStage, build: Builder, name: str, round: int, prompts: str, before: Models, initial: str
) -> Models:
    split = (round - 1, stage.iterations)
    model = before.merged
    answers = sampling.add(
        build,
        f"{name}.answers",
        prompts,
        defaults.teacher(build, stage.teacher),
        stage.sampling,
        name="policy",
        model=model,
        split=split,
    )
    verdicts = judging.add(build, f"{name}.verdicts", prompts, {"policy": answers}, stage.arbiter, split=split)
    best, pairs = picking.add(build, name, prompts, verdicts, stage.pick, round=round, split=split)
    made = {"answers": answers, "verdicts": verdicts, "best": best, "pairs": pairs}
    if stage.data == "groups":
        made["groups"] = picking.add_groups(build, name, prompts, verdicts, stage.pick, split)
    for what, id in made.items():
        build.name(f"{name}.{what}", id)
    rows, objective = made[stage.data], stage.objective_of(round)
    references = {"initial": initial, "merged": model}
    if stage.each is None:
        reference = references.get(stage.reference, model)
        return Models(training.add(build, name, rows, stage.trainer, objective, start=model, reference=reference), {})
    trained = {}
    for cluster in build.clusters("each"):
        languages = build.recipe.cluster_languages(cluster)
        kind = build.nodes[rows].kind
        chosen = selecting.select(build, rows, f"{name}.data@{cluster}", kind, languages, stage.own, None)
        reference = references.get(stage.reference, before.runs.get(cluster, model))
        trained[cluster] = training.add(
            build, f"{name}@{cluster}", chosen, stage.trainer, objective, start=model, reference=reference
        )
    build.name(f"{name}.runs", trained)
    assert stage.merge is not None  # the recipe checks that it goes with `each`
    base = build.resolve(stage.base, "base") if stage.base else model if stage.merge.needs_base else None
    weights = merging.weights_of(stage.weights, build, list(trained))
    return Models(merging.add(build, name, trained, stage.merge, weights, base), trained)


def _stand_in(stage: OnlineStage, build: Builder, start: str) -> str:
    """The node whose model is the stage's where its first round does not pass."""
    if start in build.nodes:
        return start
    return build.add(f"{stage.name}.start", "import-model", "checkpoint", {}, {"model": start})
