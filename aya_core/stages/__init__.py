"""The stages of the recipe: how each unrolls into nodes, and what the nodes do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aya_core.plan import Builder, Plan
from aya_core.recipe import LoadedRecipe
from aya_core.stages import (
    arbitrage,
    contamination,
    evaluation,
    guarding,
    judging,
    keeping,
    merging,
    online,
    picking,
    reading,
    replying,
    routing,
    sampling,
    search,
    search_refusals,
    training,
)
from aya_core.stages.work import Work

UNROLL: Mapping[str, Callable[[Any, Builder], None]] = {
    "data": reading.unroll,
    "train": training.unroll,
    "merge": merging.unroll,
    "search": search.unroll,
    "arbitrage": arbitrage.unroll,
    "online": online.unroll,
    "evaluate": evaluation.unroll,
}
"""How a stage becomes nodes, by what it does."""

ACTIONS: Mapping[str, Callable[[Work], Mapping[str, Any]]] = {
    "read": reading.read,
    "select": reading.choose,
    "route": routing.route,
    "sample": sampling.sample,
    "judge": judging.judge,
    "pick-best": picking.pick_best,
    "pick-pairs": picking.pick_pairs,
    "pick-groups": picking.pick_groups,
    "train": training.train,
    "merge": merging.merge,
    "check-merge": merging.check_merge,
    "hold-apart": search_refusals.hold_apart,
    "search": search.search,
    "request": replying.collect,
    "reply": replying.reply,
    "evaluate": evaluation.evaluate,
    "find-contamination": contamination.find,
    "draw-prompts": guarding.draw,
    "score-answers": guarding.score_answers,
    "guard": guarding.guard,
    "keep": keeping.keep,
}
"""What a node does, by its action. Each returns the measures that its artifact records."""


RESUMED = frozenset({"sample", "judge", "reply", "evaluate"})
"""Actions that go on from a payload that a killed run left; any other starts with an empty one."""


def make_plan(loaded: LoadedRecipe) -> Plan:
    """Unroll every stage of a recipe. Raises RecipeError for references that cannot be met."""
    build = Builder(loaded)
    for stage in loaded.recipe.stages:
        build.stage = stage.name
        UNROLL[stage.do](stage, build)
    search_refusals.check(build)
    return Plan(loaded.recipe.name, build.nodes, build.names)
