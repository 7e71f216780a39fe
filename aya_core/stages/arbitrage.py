"""Data arbitrage: a pool of teachers answers, an arbiter decides whose answer teaches.

Makes, for later stages: `NAME.best` (demonstrations), `NAME.pairs` (preferences) and `NAME.verdicts`.
Source: Aya Expanse, arXiv 2412.04261, section 2.1; Multilingual Arbitrage, arXiv 2408.14960.
"""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.errors import did_you_mean
from aya_core.plan import Builder
from aya_core.stage_settings import ArbitrageStage, Teaching
from aya_core.stages import judging, picking, sampling


def unroll(stage: ArbitrageStage, build: Builder) -> None:
    """Nodes for prompts, routes, each teacher's answers, verdicts, best answers and pairs."""
    if stage.answers is not None:
        prompts, answers = _pool(stage, build)
        languages = _languages(stage, build)
        rerouted: str | None = _route(stage, build, prompts, {name: languages.get(name) for name in answers}, {})
    else:
        assert stage.prompts is not None  # the recipe checks that there are prompts or answers
        pool: Mapping[str, Teaching] = stage.teachers or {}
        prompts = build.rows(stage.prompts, "prompts", "prompts", f"{stage.name}.prompts")
        languages = {name: teaching.languages for name, teaching in pool.items()}
        limits = {name: teaching.limit for name, teaching in pool.items()}
        routes = _route(stage, build, prompts, languages, limits)
        rerouted = None
        answers = {
            name: sampling.add(
                build, f"{stage.name}.answers@{name}", prompts, teaching.teacher, teaching.sampling or stage.sampling,
                name=name, routes=routes,
                at=f"teachers.{name}",
            )
            for name, teaching in pool.items()
        }  # fmt: skip
        build.name(f"{stage.name}.prompts", prompts)
        build.name(f"{stage.name}.answers", answers)
    verdicts = judging.add(build, f"{stage.name}.verdicts", prompts, answers, stage.arbiter, routes=rerouted)
    best, pairs = picking.add(build, stage.name, prompts, verdicts, stage.pick)
    build.name(f"{stage.name}.verdicts", verdicts)
    build.name(f"{stage.name}.best", best)
    build.name(f"{stage.name}.pairs", pairs)


def _route(
    stage: ArbitrageStage, build: Builder, prompts: str, teachers: Mapping[str, tuple[str, ...] | None],
    limits: Mapping[str, int | None],
) -> str:  # fmt: skip
    settings = {
        "teachers": {name: list(codes) if codes else None for name, codes in teachers.items()},
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
    }
    return build.add(
        f"{stage.name}.routes", "route", "routes", settings, {"prompts": prompts}, {"router": ("router", stage.router)}
    )


def _pool(stage: ArbitrageStage, build: Builder) -> tuple[str, Mapping[str, str]]:
    """The prompts of the earlier stage that this one draws from, and the answers to them by teacher."""
    pools = {name.removesuffix(".prompts") for name in build.names if name.endswith(".prompts")}
    if stage.answers not in pools:
        raise build.error(
            "answers", f"no earlier arbitrage stage named '{stage.answers}'; {did_you_mean(str(stage.answers), pools)}"
        )
    return build.names[f"{stage.answers}.prompts"][""], build.names[f"{stage.answers}.answers"]


def _languages(stage: ArbitrageStage, build: Builder) -> Mapping[str, tuple[str, ...] | None]:
    """What the teachers of the earlier stage are asked in."""
    (earlier,) = [other for other in build.recipe.stages if other.name == stage.answers]
    return {name: teaching.languages for name, teaching in (earlier.teachers or {}).items()}
