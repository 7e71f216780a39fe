"""Online preference training: rounds of sample, judge, pair, train and merge.

Makes, for later stages: `NAME.1`, `NAME.2`, ... (the model after each round), `NAME` (after the last), and
`NAME.1.pairs`, ... Source: Aya Expanse, arXiv 2412.04261, section 2.2: three rounds; going on brought little and
sometimes reward hacking.
"""

from __future__ import annotations

from aya_core.plan import Builder
from aya_core.recipe import OnlineStage
from aya_core.stages import judging, merging, picking, reading, sampling, training


def unroll(stage: OnlineStage, build: Builder) -> None:
    """Each round becomes nodes of its own; round r samples from the model that round r - 1 made."""
    training.check(build, stage.trainer, stage.objective)
    wanted = {"pairs": "preferences", "best": "demonstrations"}[stage.data]
    if training.reads(stage.trainer) != wanted:
        raise build.error(
            "data", f"the trainer reads {training.reads(stage.trainer)}, `data: {stage.data}` gives {wanted}"
        )
    prompts = build.rows(stage.prompts, "prompts", "prompts", f"{stage.name}.prompts")
    initial = model = build.resolve(stage.start, "start")
    for round in range(1, stage.iterations + 1):
        model = _round(stage, build, f"{stage.name}.{round}", round, prompts, model, initial)
        build.name(f"{stage.name}.{round}", model)
    build.name(stage.name, model)


def _round(stage: OnlineStage, build: Builder, name: str, round: int, prompts: str, model: str, initial: str) -> str:
    part = (round - 1, stage.iterations)
    answers = sampling.add(
        build, f"{name}.answers", prompts, stage.teacher, stage.sampling, name="policy", model=model, part=part
    )
    verdicts = judging.add(build, f"{name}.verdicts", prompts, {"policy": answers}, stage.arbiter, part=part)
    best, pairs = picking.add(build, name, prompts, verdicts, stage.pick, round=round, part=part)
    build.name(f"{name}.verdicts", verdicts)
    build.name(f"{name}.best", best)
    build.name(f"{name}.pairs", pairs)
    rows = pairs if stage.data == "pairs" else best
    reference = initial if stage.reference == "initial" else model
    if stage.each is None:
        return training.add(build, name, rows, stage.trainer, stage.objective, start=model, reference=reference)
    trained = {}
    for cluster in build.clusters("each"):
        languages = build.recipe.cluster_languages(cluster)
        kind = build.nodes[rows].kind
        chosen = reading.select(build, rows, f"{name}.data@{cluster}", kind, languages, stage.own, None)
        trained[cluster] = training.add(
            build, f"{name}@{cluster}", chosen, stage.trainer, stage.objective, start=model, reference=reference
        )
    build.name(f"{name}.runs", trained)
    assert stage.merge is not None  # the recipe checks that it goes with `each`
    return merging.add(build, name, trained, stage.merge, dict.fromkeys(trained, 1.0))
