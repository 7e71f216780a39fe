"""The numbers of an evaluate stage, read once from its artifacts: every metric of every model in every language."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aya_core import statistics
from aya_core.artifacts import Artifact, read_rows
from aya_core.records import RowScore
from aya_core.stage_settings import EvaluateStage
from aya_core.stages.evaluation import PROMPTS, needs_answers, read_corpus
from aya_core.statistics import Estimate, Sums
from aya_core.strategies import Strategy

ByMetric = dict[str, dict[str, Any]]
"""By metric, then by model."""


@dataclass(frozen=True)
class Scores:
    """What the models of a stage scored; of evaluators and models that do not stand yet nothing is here.

    artifacts: by evaluator and model. sums: of metrics that are means over rows, by evaluator, metric and model; languages: the
    estimates of all metrics in each language, by the same. contamination: see `stages/contamination.py`; None where nothing was
    compared.
    """

    stage: EvaluateStage
    artifacts: Mapping[str, Mapping[str, Artifact]]
    contamination: Mapping[str, Any] | None = None
    sums: dict[str, ByMetric] = field(default_factory=dict)
    languages: dict[str, ByMetric] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Every model in the order of the stage, the controls last."""
        return list(map(str, (*self.stage.models, *self.stage.controls)))

    def headline(self, label: str) -> str | None:
        """The main metric of an evaluator, None where none of its scores stands."""
        return next((artifact.measures["headline"] for artifact in self.artifacts[label].values()), None)


def read(stage: EvaluateStage, standing: Mapping[str, Artifact]) -> Scores:
    """Read the scores of a stage."""
    artifacts: dict[str, dict[str, Artifact]] = {label: {} for label in stage.evaluators}
    compared = standing.get(f"{stage.name}.contamination")
    scores = Scores(stage, artifacts, None if compared is None else compared.measures)
    for label in stage.evaluators:
        for model in scores.models:
            artifact = standing.get(f"{stage.name}.{label}@{model}")
            if artifact is None:
                continue
            artifacts[label][model] = artifact
            sums = scores.sums.setdefault(label, {})
            languages = scores.languages.setdefault(label, {})
            for metric, added in read_sums(artifact.payload).items():
                sums.setdefault(metric, {})[model] = added
                languages.setdefault(metric, {})[model] = statistics.by_language(added)
            for metric, parts in read_corpora(artifact.payload).items():
                languages.setdefault(metric, {})[model] = parts
    return scores


def read_sums(payload: Path) -> dict[str, Sums]:
    """The rows of an evaluated model, added up by metric."""
    found: dict[str, list[RowScore]] = defaultdict(list)
    for row in read_rows(payload, RowScore):
        found[row.metric].append(row)
    return {metric: statistics.sums(rows) for metric, rows in found.items()}


def read_corpora(payload: Path) -> dict[str, dict[str, Estimate]]:
    """The scores of whole corpora by metric and language."""
    found: dict[str, dict[str, Estimate]] = defaultdict(dict)
    for row in read_corpus(payload):
        found[row.metric][row.language] = Estimate(row.value, row.standard_error, row.n)
    return {metric: dict(sorted(parts.items())) for metric, parts in found.items()}


def account(scores: Scores) -> dict[str, Any]:
    """All numbers of a stage as plain data, for `report.json` and tables.

    models, controls: names. evaluators: headline, goal, rival, signature and unanswered prompts of each. groups: of each the
    evaluators and metrics that it is the mean of, the evaluators whose columns it replaces, and the mean by model. sampling: of
    answers to the stage's prompts. scores: by evaluator, metric and model the mean over languages, and each language.
    contamination: of each evaluator's rows by language how many occur in training rows, as a whole or in passages.
    """
    stage = scores.stage
    return {
        "models": list(map(str, stage.models)),
        "controls": list(map(str, stage.controls)),
        "evaluators": {label: _evaluator(scores, label) for label, found in scores.artifacts.items() if found},
        "groups": {name: _group(scores, members) for name, members in stage.groups.items()},
        "scores": {
            label: {
                metric: {model: _estimates(parts) for model, parts in models.items()}
                for metric, models in sorted(metrics.items())
            }
            for label, metrics in scores.languages.items()
        },
        "contamination": _contamination(scores),
        "sampling": None if stage.prompts is None else stage.sampling.model_dump(mode="json"),
    }


def group_mean(means: list[Estimate]) -> Estimate:
    """The unweighted mean of several evaluators' numbers, which are independent of one another."""
    error = math.sqrt(sum(mean.standard_error**2 for mean in means)) / len(means)
    return Estimate(sum(mean.value for mean in means) / len(means), error, sum(mean.n for mean in means))


def _evaluator(scores: Scores, label: str) -> dict[str, Any]:
    found = scores.artifacts[label]
    strategy = scores.stage.evaluators[label]
    return {
        "headline": scores.headline(label),
        "goal": getattr(strategy, "goal", None),
        "against": _rival(label, strategy),
        "signature": dict(next(iter(found.values())).measures["signature"]),
        "unanswered": {model: count for model, one in found.items() if (count := one.measures["unanswered"])},
    }


def _rival(label: str, strategy: Strategy[Any]) -> str | None:
    """What the rival that an evaluator compares with is called; a teacher has no name of its own."""
    against = getattr(strategy, "against", None)
    return f"the rival of '{label}'" if isinstance(against, Strategy) else against


def _contamination(scores: Scores) -> dict[str, Any] | None:
    if scores.contamination is None:
        return None
    found = scores.contamination["by_source"]
    of_each = {
        label: found.get(PROMPTS if needs_answers(evaluator) else label, {})
        for label, evaluator in scores.stage.evaluators.items()
    }
    return {
        "training_rows": scores.contamination["training_rows"],
        "evaluators": {label: dict(languages) for label, languages in of_each.items() if languages},
    }


def _group(scores: Scores, members: tuple[str, ...]) -> dict[str, Any]:
    """A model that lacks a member has no mean: one over fewer tasks would be another number."""
    of = [
        (label, metric or scores.headline(label) or "") for label, _, metric in (one.partition(".") for one in members)
    ]
    models = {}
    for model in scores.models:
        parts = [scores.languages.get(label, {}).get(metric, {}).get(model) for label, metric in of]
        if all(parts):
            models[model] = group_mean([statistics.mean_of(part) for part in parts if part]).as_row()
    return {
        "of": [list(one) for one in of],
        "in_place_of": [one for one in members if "." not in one],
        "models": models,
    }


def _estimates(parts: Mapping[str, Estimate]) -> dict[str, Any]:
    mean = statistics.mean_of(parts).as_row()
    return {"mean": mean, "languages": {code: estimate.as_row() for code, estimate in parts.items()}}
