"""Searching: one checkpoint of several, with the weights that score best on validation data.

The first merge tried is the one that `do: merge` would make, so that what was found is always compared with it, by prompt.
The account of every merge tried is `search.json`, beside the best one's weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aya_core import statistics
from aya_core.errors import AyaError, PluginError, did_you_mean
from aya_core.explain import SettingsError
from aya_core.optimisers import MakeOptimiser
from aya_core.plan import Builder
from aya_core.registry import Registry
from aya_core.stage_settings import SearchStage
from aya_core.stages import evaluation, merging, search_refusals, searching
from aya_core.stages.search_space import space_of
from aya_core.stages.search_trials import MergeTrials
from aya_core.stages.searching import Journal, Tried, best_of
from aya_core.stages.work import Work
from aya_core.strategies import EACH

ACCOUNT = "search.json"
"""The file that says what was tried, in the artifact's payload."""

BETWEEN = 0.618
"""Where between its bounds a setting is checked as well: a number that is no whole one."""


def unroll(stage: SearchStage, build: Builder) -> None:
    """A node that holds validation data apart from what is reported, and one that merges and scores."""
    models, base = merging.resolve(build, stage.models, stage.base)
    if len(models) < 2:
        raise build.error(
            "models",
            "there is one model, so there is nothing to search; expected two or more, or a stage with one per cluster",
        )
    _check_space(stage, build, models)
    try:
        optimiser_of(build.registry)
    except PluginError as error:
        raise build.error("", str(error)) from None
    shared, files = merging.settings_of(stage, build, models)
    inputs = {**merging.inputs_of(models, base), **files}
    if evaluation.needs_answers(stage.evaluator):
        if stage.prompts is None:
            raise build.error("prompts", "missing; the evaluator here scores answers to prompts")
        inputs["prompts"] = build.rows(stage.prompts, "prompts", "prompts", f"{stage.name}.prompts")
    apart = search_refusals.add(build, stage)
    if apart is not None:
        inputs["apart"] = apart
    settings = {
        "models": list(models), **shared,
        "over": stage.over, "sampling": stage.sampling.model_dump(mode="json"), "goal": _goal(stage, build),
        "budget": stage.budget, "population": stage.population,
    }  # fmt: skip
    strategies = {
        "merge": ("merge", stage.merge), "evaluator": ("evaluator", stage.evaluator), "teacher": ("teacher", stage.teacher),
    }  # fmt: skip
    incidental = {"means": stage.means.model_dump(mode="json")}
    build.name(
        stage.name,
        build.add(stage.name, "search", "checkpoint", settings, inputs, strategies, model=EACH, incidental=incidental),
    )


def search(work: Work) -> Mapping[str, Any]:
    """Search, leave the best checkpoint with the account, and say how it compares with the uniform one."""
    models, goal, over = work.setting("models"), work.setting("goal"), work.setting("over")
    space = space_of(work.strategy("merge"), models, {name: limits and tuple(limits) for name, limits in over.items()})
    optimiser = optimiser_of(work.registry)(space.dimensions, work.setting("population"), work.node.seed)
    trials = MergeTrials(work, models)
    journal = Journal(work.scratch / "search.jsonl")
    tried = searching.search(optimiser, space, trials, journal, budget=work.setting("budget"), goal=goal)
    best = best_of(tried, goal)
    difference = _difference(trials, best, sum(one.failed is None for one in tried[1:]))
    measures = {
        "score": best.score, "uniform": tried[0].score, "n": best.n, "metric": trials.headline, "goal": goal,
        "tried": len(tried), "failed": sum(one.failed is not None for one in tried), "best": best.candidate.number,
        "generation": best.candidate.generation, "weights": best.candidate.weights, "settings": best.candidate.settings,
        "difference": difference, "beats_uniform": beats(difference, goal), "optimiser": optimiser.signature(),
        "signature": evaluation.signature_of(work, trials.evaluator),
    }  # fmt: skip
    trials.finish(best.candidate)
    account = {**measures, "candidates": [_row(one) for one in tried]}
    (work.out / ACCOUNT).write_text(json.dumps(account, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return measures


def optimiser_of(registry: Registry) -> MakeOptimiser:
    """The optimiser that plugins offer. Raises PluginError where there is none."""
    make: MakeOptimiser | None = registry.manager.hook.aya_optimiser()
    if make is None:
        raise PluginError("no plugin offers an optimiser (hook aya_optimiser); unblock 'aya-merges' or install one")
    return make


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
    if getattr(stage.evaluator, "against", None) is not None:
        raise build.error(
            "evaluator",
            f"'{name}' compares a model with a rival; a search scores each merge by itself, by one model's metric",
        )
    own = getattr(stage.evaluator, "goal", None)
    if own is None and stage.goal is None:
        raise build.error("goal", f"missing; expected max or min, as evaluator '{name}' does not say which is better")
    if own is not None and stage.goal not in (None, own):
        raise build.error("goal", f"{stage.goal}imising '{name}' makes models worse: {own} is better; remove `goal`")
    return str(own or stage.goal)


def _difference(trials: MergeTrials, best: Tried, rivals: int) -> dict[str, float | int | None] | None:
    """How much more the best one scores than the uniform one, with the error of differences paired by prompt.

    low_of_best, high_of_best: the interval, wider because the best of several is looked at. rivals: how many were scored.
    """
    estimate = statistics.gain(*(statistics.sums(trials.rows(number)) for number in (0, best.candidate.number)))
    if estimate is None:
        return None
    low, high = estimate.among(max(rivals, 1)) if math.isfinite(estimate.standard_error) else (None, None)
    return {**estimate.as_row(), "low_of_best": low, "high_of_best": high}


def beats(difference: Mapping[str, float | int | None] | None, goal: str) -> bool:
    """Whether zero lies outside the wider interval of the difference, on the better side."""
    low, high = (difference["low_of_best"], difference["high_of_best"]) if difference else (None, None)
    if low is None or high is None:
        return False
    return low > 0 if goal == "max" else high < 0


def _row(tried: Tried) -> dict[str, Any]:
    row = {**tried.candidate._asdict(), "score": tried.score, "standard_error": tried.standard_error, "n": tried.n}
    return row if tried.failed is None else {**row, "failed": tried.failed}
