"""Online preference training: rounds of sample, judge, pair, train and merge, each followed by its guards.

Makes, for later stages: `NAME.1`, `NAME.2`, ... (the model after each round), `NAME` (after the last), and of each round
`NAME.1.answers`, `NAME.1.verdicts`, `NAME.1.best`, `NAME.1.pairs`, with `data: groups` `NAME.1.groups`, and with `each: cluster`
`NAME.1.runs`, the runs before their merge. Where a guard ends the rounds, the names of those that are not done stand for what the
last one left, and the model is the last that passed.

Source: Aya Expanse, arXiv 2412.04261, section 2.2: three rounds; going on brought little and sometimes reward hacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aya_core.plan import Builder
from aya_core.stage_settings import OnlineStage
from aya_core.stages import judging, merging, picking, reading, sampling, training
from aya_core.stages.guarding import Guarding

WANTED = {"pairs": "preferences", "best": "demonstrations", "groups": "groups"}
"""The kind of rows by what a stage trains on."""


class Models(NamedTuple):
    """What a round leaves. merged: its model. runs: by cluster before the merge; empty where there are no clusters."""

    merged: str
    runs: Mapping[str, str]


def unroll(stage: OnlineStage, build: Builder) -> None:
    """Each round becomes nodes of its own; round r samples from the model that round r - 1 made."""
    for round in range(1, stage.iterations + 1):
        training.check(build, stage.trainer, stage.objective_of(round))
    if training.reads(stage.trainer) != WANTED[stage.data]:
        read, given = training.reads(stage.trainer), WANTED[stage.data]
        raise build.error("data", f"the trainer reads {read}, `data: {stage.data}` gives {given}")
    prompts = build.rows(stage.prompts, "prompts", "prompts", f"{stage.name}.prompts")
    start = build.resolve(stage.start, "start")
    guarding = Guarding.begin(stage, build, prompts, start) if stage.guards else None
    ends_early = stage.guards is not None and stage.guards.stop.are_set
    passed = _stand_in(stage, build, start) if ends_early else start
    models = Models(start, {})
    for round in range(1, stage.iterations + 1):
        name = f"{stage.name}.{round}"
        begun = len(build.nodes)
        models = _round(stage, build, name, round, prompts, models, start)
        guard = guarding.add(round, models.merged) if guarding else ""
        if not ends_early:
            passed = models.merged
        else:
            for id in list(build.nodes)[begun:] if round > 1 else ():
                before = f"{stage.name}.{round - 1}"
                build.gate(id, f"{before}.guard", before + id.removeprefix(name))
            passed = build.choose(f"{name}.passed", models.merged, guard, passed)
        build.name(name, passed)
    build.name(stage.name, passed)


def _round(
    stage: OnlineStage, build: Builder, name: str, round: int, prompts: str, before: Models, initial: str
) -> Models:
    part = (round - 1, stage.iterations)
    model = before.merged
    answers = sampling.add(
        build, f"{name}.answers", prompts, stage.teacher, stage.sampling, name="policy", model=model, part=part
    )
    verdicts = judging.add(build, f"{name}.verdicts", prompts, {"policy": answers}, stage.arbiter, part=part)
    best, pairs = picking.add(build, name, prompts, verdicts, stage.pick, round=round, part=part)
    made = {"answers": answers, "verdicts": verdicts, "best": best, "pairs": pairs}
    if stage.data == "groups":
        made["groups"] = picking.add_groups(build, name, prompts, verdicts, stage.pick, part)
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
        chosen = reading.select(build, rows, f"{name}.data@{cluster}", kind, languages, stage.own, None)
        reference = references.get(stage.reference, before.runs.get(cluster, model))
        trained[cluster] = training.add(
            build, f"{name}@{cluster}", chosen, stage.trainer, objective, start=model, reference=reference
        )
    build.name(f"{name}.runs", trained)
    assert stage.merge is not None  # the recipe checks that it goes with `each`
    return Models(merging.add(build, name, trained, stage.merge, dict.fromkeys(trained, 1.0)), trained)


def _stand_in(stage: OnlineStage, build: Builder, start: str) -> str:
    """The node whose model is the stage's where its first round does not pass."""
    if start in build.nodes:
        return start
    if not Path(start).is_absolute():
        told = f"'{start}' is a model of the hub, which cannot be the result of this stage where its first round does not pass"
        raise build.error("start", f"{told}; download it and name its folder, or leave guards.stop out")
    return build.add(f"{stage.name}.start", "keep", "checkpoint", {}, {"model": start})
