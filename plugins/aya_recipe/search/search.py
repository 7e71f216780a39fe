"""Searching: one checkpoint of several, with the weights that score best on validation data.

The first merge tried is the one that `do: merge` would make, so that what was found is always compared with it, by prompt.
The account of every merge tried is `search.json`, beside the best one's weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aya_core.api import MakeOptimizer, PluginError, Registry, Work
from aya_recipe.evaluate import evaluation
from aya_recipe.numbers import statistics
from aya_recipe.search import searching
from aya_recipe.search.searching import TrialJournal, Tried, best_of
from aya_recipe.search.space import space_of
from aya_recipe.search.trials import MergeTrials

ACCOUNT = "search.json"
"""The file that says what was tried, in the artifact's payload."""


def search(work: Work) -> Mapping[str, Any]:
    """Search, leave the best checkpoint with the account, and say how it compares with the uniform one."""
    models, goal, over = work.setting("models"), work.setting("goal"), work.setting("over")
    space = space_of(work.strategy("merge"), models, {name: limits and tuple(limits) for name, limits in over.items()})
    optimizer = optimizer_of(work.registry)(space.dimensions, work.setting("population"), work.node.seed)
    trials = MergeTrials(work, models)
    journal = TrialJournal(work.scratch / "search.jsonl")
    tried = searching.search(optimizer, space, trials, journal, budget=work.setting("budget"), goal=goal)
    journal.close()
    best = best_of(tried, goal)
    difference = _difference(trials, best, sum(one.failed is None for one in tried[1:]))
    measures = {
        "score": best.score, "uniform": tried[0].score, "n": best.n, "metric": trials.headline, "unit": trials.unit, "goal": goal,
        "tried": len(tried), "failed": sum(one.failed is not None for one in tried), "best": best.candidate.number,
        "generation": best.candidate.generation, "weights": best.candidate.weights, "settings": best.candidate.settings,
        "difference": difference, "beats_uniform": beats(difference, goal), "optimizer": optimizer.signature(),
        "signature": evaluation.signature_of(work, trials.evaluator),
    }  # fmt: skip
    trials.finish(best.candidate)
    account = {**measures, "candidates": [_row(one) for one in tried]}
    (work.out / ACCOUNT).write_text(json.dumps(account, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return measures


def optimizer_of(registry: Registry) -> MakeOptimizer:
    """The optimizer that plugins offer. Raises PluginError where there is none."""
    make: MakeOptimizer | None = registry.manager.hook.aya_optimizer()
    if make is None:
        raise PluginError("no plugin offers an optimizer (hook aya_optimizer); unblock 'aya-merges' or install one")
    return make


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
