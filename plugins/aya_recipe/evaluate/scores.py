"""The numbers of an evaluate stage, read once from its artifacts: every metric of every model in every language."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aya_core.api import Artifact, RowScore, RunRecord, StageRecord, read_rows
from aya_recipe.evaluate.evaluation import PROMPTS, read_corpus
from aya_recipe.numbers import statistics
from aya_recipe.numbers.statistics import Estimate, Sums

DOES = "evaluate"
"""What a recipe says after `do:` for such a stage."""

ByMetric = dict[str, dict[str, Any]]
"""By metric, then by model."""


@dataclass(frozen=True)
class Scores:
    """What the models of a stage scored; of evaluators and models that do not stand yet nothing is here.

    artifacts: by evaluator and model. sums: of metrics that are means over rows, by evaluator, metric and model; languages: the
    estimates of all metrics in each language, by the same. contamination: see `contamination.py`; None where nothing was
    compared.
    """

    stage: StageRecord
    artifacts: Mapping[str, Mapping[str, Artifact]]
    contamination: Mapping[str, Any] | None = None
    sums: dict[str, ByMetric] = field(default_factory=dict)
    languages: dict[str, ByMetric] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Every model in the order of the stage, the controls last."""
        return [*self.stage.settings["models"], *self.stage.settings["controls"]]

    @property
    def labels(self) -> list[str]:
        """What the evaluators are called, the headline's first."""
        return list(self.stage.settings["evaluators"])

    def needs_answers(self, label: str) -> bool:
        """Whether an evaluator scores answers to the stage's prompts."""
        return any("answers" in self.stage.steps[artifact.node].inputs for artifact in self.artifacts[label].values())

    def goal(self, label: str) -> str | None:
        """Which end of an evaluator's main metric is better; None where it does not say."""
        return next((artifact.measures.get("goal") for artifact in self.artifacts[label].values()), None)

    def against(self, label: str) -> str | None:
        """What the rival that an evaluator compares with is called; a teacher has no name of its own."""
        against = self.stage.settings["evaluators"][label].get("against")
        return f"the rival of '{label}'" if isinstance(against, Mapping) else against

    def headline(self, label: str) -> str | None:
        """The main metric of an evaluator, None where none of its scores stands."""
        return next((artifact.measures["headline"] for artifact in self.artifacts[label].values()), None)


def evaluate_stages(run: RunRecord) -> list[StageRecord]:
    """The evaluate stages of a run of which some model is scored."""
    stages = (run.stage(name) for name, stage in run.stages.items() if stage.do == DOES)
    return [stage for stage in stages if any(artifact.kind == "scores" for artifact in stage.standing.values())]


def read(stage: StageRecord) -> Scores:
    """Read the scores of a stage."""
    artifacts: dict[str, dict[str, Artifact]] = {label: {} for label in stage.settings["evaluators"]}
    compared = stage.standing.get(f"{stage.name}.contamination")
    scores = Scores(stage, artifacts, None if compared is None else compared.measures)
    for label in artifacts:
        for model in scores.models:
            artifact = stage.standing.get(f"{stage.name}.{label}@{model}")
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
    settings = scores.stage.settings
    return {
        "models": list(settings["models"]),
        "controls": list(settings["controls"]),
        "evaluators": {label: _evaluator(scores, label) for label, found in scores.artifacts.items() if found},
        "groups": {name: _group(scores, members) for name, members in settings["groups"].items()},
        "scores": {
            label: {
                metric: {model: _estimates(parts) for model, parts in models.items()}
                for metric, models in sorted(metrics.items())
            }
            for label, metrics in scores.languages.items()
        },
        "contamination": _contamination(scores),
        "sampling": None if settings["prompts"] is None else settings["sampling"],
    }


def group_mean(means: list[Estimate]) -> Estimate:
    """The unweighted mean of several evaluators' numbers, which are independent of one another."""
    error = math.sqrt(sum(mean.standard_error**2 for mean in means)) / len(means)
    return Estimate(sum(mean.value for mean in means) / len(means), error, sum(mean.n for mean in means))


def _evaluator(scores: Scores, label: str) -> dict[str, Any]:
    found = scores.artifacts[label]
    return {
        "headline": scores.headline(label),
        "goal": scores.goal(label),
        "against": scores.against(label),
        "signature": dict(next(iter(found.values())).measures["signature"]),
        "unanswered": {model: count for model, one in found.items() if (count := one.measures["unanswered"])},
    }


def _contamination(scores: Scores) -> dict[str, Any] | None:
    if scores.contamination is None:
        return None
    found = scores.contamination["by_source"]
    of_each = {label: found.get(PROMPTS if scores.needs_answers(label) else label, {}) for label in scores.labels}
    return {
        "training_rows": scores.contamination["training_rows"],
        "evaluators": {label: dict(languages) for label, languages in of_each.items() if languages},
    }


def _group(scores: Scores, members: Sequence[str]) -> dict[str, Any]:
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
