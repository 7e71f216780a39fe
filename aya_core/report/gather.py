"""Gather a run's numbers from its artifacts into one plain dictionary, which is `report.json`.

- stages: models in the recipe's line; for each score (the headline metric), low, high, n, greedy, win_rate_vs_base, the
  gain on the model before it, and every metric
- controls: the same for models beside the line
- languages: the headline metric of every model in each language
- arbitrage: for each arbitrage stage, its account (see `arbitrage.py`)
- search: for each search stage, the best merge and how it compares with the uniform one
- online: for each online stage, its rounds and their guards (see `online.py`)
- evaluations: as stages and controls, for evaluate stages before the last
- tables: for each evaluate stage, every metric of every model in every language (see `scores.py`)
- signature: everything that moved the numbers
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from aya_core import __version__, statistics
from aya_core.artifacts import Artifact
from aya_core.plan import Plan
from aya_core.recipe import LoadedRecipe
from aya_core.report import arbitrage, online, scores
from aya_core.report.scores import Scores
from aya_core.stage_settings import ArbitrageStage, EvaluateStage, OnlineStage, SearchStage
from aya_core.stages.evaluation import GREEDY
from aya_core.statistics import Estimate, Sums

Standing = Mapping[str, Artifact]


def gather(loaded: LoadedRecipe, plan: Plan, standing: Standing, seconds: float) -> dict[str, Any]:
    """Make the report of what stands; stages that have not run yet are left out. seconds: spent by the runs so far."""
    recipe = loaded.recipe
    report: dict[str, Any] = {
        "recipe": recipe.name, "seed": recipe.seed, "aya_core": __version__, "stages": [], "controls": [], "languages": {},
        "arbitrage": {}, "search": {}, "online": {}, "evaluations": {}, "tables": {}, "signature": {},
    }  # fmt: skip
    evaluations = [stage for stage in recipe.stages if isinstance(stage, EvaluateStage)]
    for stage in recipe.stages:
        if isinstance(stage, EvaluateStage):
            measured = scores.read(stage, standing)
            scored = _evaluation(measured)
            report["tables"][stage.name] = scores.account(measured)
            report["evaluations"][stage.name] = scored
            if stage is evaluations[-1]:
                del report["evaluations"][stage.name]
                report.update(scored)
        elif isinstance(stage, ArbitrageStage) and f"{stage.name}.best" in standing:
            report["arbitrage"][stage.name] = arbitrage.gather(stage, plan, standing)
        elif isinstance(stage, SearchStage) and stage.name in standing:
            report["search"][stage.name] = dict(standing[stage.name].measures)
        elif isinstance(stage, OnlineStage):
            report["online"][stage.name] = online.gather(stage, loaded.registry, standing)
    for row in (*report["stages"], *report["controls"]):
        row |= _stood_in(row["name"], plan, standing)
    report["seconds"] = round(seconds, 1)
    report["node_seconds"] = dict(_stage_seconds(plan, standing))
    return report


def _evaluation(measured: Scores) -> dict[str, Any]:
    stage, headline = measured.stage, next(iter(measured.stage.evaluators))
    sums: dict[str, dict[str, Sums]] = defaultdict(dict)
    estimates: dict[str, dict[str, Mapping[str, Estimate]]] = defaultdict(dict)
    signature: dict[str, Any] = {}
    unanswered: dict[str, int] = {}
    main = headline
    for label, artifacts in measured.artifacts.items():
        for model, artifact in artifacts.items():
            signature[label] = artifact.measures["signature"]
            if label == headline:
                main = _metric_name(label, artifact.measures["headline"])
            unanswered[model] = max(unanswered.get(model, 0), artifact.measures["unanswered"])
        for metric, models in measured.languages.get(label, {}).items():
            for model, parts in models.items():
                estimates[model][_metric_name(label, metric)] = parts
        for metric, models in measured.sums.get(label, {}).items():
            for model, added in models.items():
                sums[model][_metric_name(label, metric)] = added
    base = str(stage.models[0])
    rivals = [label for label, evaluator in stage.evaluators.items() if getattr(evaluator, "against", None) == base]
    rows = {model: _row(model, metrics, main, rivals) for model, metrics in estimates.items()}
    for model, count in unanswered.items():
        rows[model] |= {"unanswered": count} if count else {}
    line = [str(model) for model in stage.models if str(model) in rows]
    for before, after in pairwise(line):
        gain = statistics.gain(sums.get(before, {}).get(main, {}), sums.get(after, {}).get(main, {}))
        if gain is not None:
            rows[after]["gain"] = gain.as_row()
    languages: dict[str, dict[str, Any]] = defaultdict(dict)
    for model, metrics in estimates.items():
        for language, estimate in metrics.get(main, {}).items():
            languages[language][model] = estimate.as_row()
    sampling = stage.sampling.model_dump(mode="json")
    return {
        "headline": main,
        "stages": [rows[model] for model in line],
        "controls": [rows[str(model)] for model in stage.controls if str(model) in rows],
        "languages": dict(sorted(languages.items())),
        "signature": {"evaluators": signature, "sampling": sampling},
    }


def _row(model: str, metrics: Mapping[str, Mapping[str, Estimate]], main: str, rivals: Sequence[str]) -> dict[str, Any]:
    """A model's row. rivals: evaluators that compare with the base."""
    means = {name: statistics.mean_of(parts) for name, parts in metrics.items()}
    row: dict[str, Any] = {"name": model}
    if main in means:
        row |= _score(means[main])
        row["n"] = means[main].n
    if (greedy := _greedy(main)) in means:
        row["greedy"] = _score(means[greedy])
    for label in rivals:
        for prefix, key in (("", "win_rate_vs_base"), (GREEDY, "greedy_win_rate_vs_base")):
            outcomes = {name: means.get(_metric_name(label, prefix + name)) for name in ("win", "loss", "tie")}
            known = {name: estimate.value for name, estimate in outcomes.items() if estimate is not None}
            if len(known) == len(outcomes):
                row[key] = known
    row["metrics"] = {name: estimate.as_row() for name, estimate in means.items()}
    return row


def _score(estimate: Estimate) -> dict[str, Any]:
    row = estimate.as_row()
    return {"score": row["value"], "low": row["low"], "high": row["high"]}


def _metric_name(label: str, metric: str) -> str:
    """The evaluator's label and its metric; one word where they agree."""
    prefix, bare = (GREEDY, metric.removeprefix(GREEDY)) if metric.startswith(GREEDY) else ("", metric)
    return f"{prefix}{label}" if bare == label else f"{prefix}{label}: {bare}"


def _greedy(name: str) -> str:
    return GREEDY + name


def _stood_in(name: str, plan: Plan, standing: Standing) -> Mapping[str, str]:
    """Which model another one stands in for, where a guard ended the rounds that would have made it."""
    node = plan.nodes.get(plan.names.get(name, {}).get("", ""))
    if node is None or node.gate is None or node.id not in standing:
        return {}
    made = standing[node.id].node
    return {} if made == node.same_as else {"same_as": made}


def _stage_seconds(plan: Plan, standing: Standing) -> Mapping[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for node in plan.nodes.values():
        if node.id in standing and standing[node.id].node == node.id:
            spent[node.stage] += standing[node.id].seconds
    return {stage: round(seconds, 1) for stage, seconds in spent.items()}


def load_report(folder: Path) -> dict[str, Any]:
    """Read a report that was written."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def rows_of(report: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """The rows of the main table: ("stage" or "control", row)."""
    return [("stage", row) for row in report["stages"]] + [("control", row) for row in report["controls"]]
