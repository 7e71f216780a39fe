"""The numbers of an evaluate stage, read once from its artifacts: every metric of every model in every language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aya_core.api import Artifact, Metric, RowScore, RunRecord, StageRecord, read_rows
from aya_recipe.evaluate.evaluation import GREEDY, PROMPTS, read_corpus
from aya_recipe.numbers import coverage, statistics
from aya_recipe.numbers.statistics import Estimate, Sums

DOES = "evaluate"
"""What a recipe says after `do:` for such a stage."""

ByMetric = dict[str, dict[str, Any]]
"""By metric, then by model."""


@dataclass(frozen=True)
class Scores:
    """What the models of a stage scored; of evaluators and models that do not stand yet nothing is here, nor of a rival against itself.

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

    def metrics(self, label: str) -> dict[str, Metric]:
        """What an evaluator declared of its metrics. Runs of earlier versions say which end of the main one is better, and no unit."""
        found: dict[str, Metric] = {}
        for artifact in self.artifacts[label].values():
            measures = artifact.measures
            declared = measures.get("metrics") or {measures["headline"]: {"better": measures.get("goal")}}
            found |= {name: Metric(**said) for name, said in declared.items()}
        return found

    def metric(self, label: str, name: str) -> Metric:
        """What an evaluator declared of a metric, be it of greedy answers."""
        return self.metrics(label).get(name.removeprefix(GREEDY), Metric())

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
            if model == scores.against(label):
                continue
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
        influences = {(statistics.ITEMS, item): moved for item, moved in row.influences.items()}
        found[row.metric][row.language] = Estimate(row.value, row.standard_error, row.n, influences)
    return {metric: dict(sorted(parts.items())) for metric, parts in found.items()}


def account(scores: Scores) -> dict[str, Any]:
    """All numbers of a stage as plain data, for `report.json` and tables.

    models, controls: names. evaluators: headline, what is declared of the metrics, rival, signature, unanswered prompts, and how many
    items its rows name (`items`, in how many `languages`) of each. groups: of each the evaluators and metrics that it is the mean of, the
    evaluators whose columns it replaces, the mean by model, and by model the languages that its mean lacks (`missing`). sampling: of
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


def group_mean(means: list[tuple[str, Estimate]]) -> Estimate:
    """The unweighted mean of several numbers, each with the name of the rows that it is of. Those of the same rows move together; others
    are independent."""
    return statistics.mean_of_numbers([_of_rows(name, mean) for name, mean in means])


def _of_rows(name: str, mean: Estimate) -> Estimate:
    """The same number, its observations told apart from those of other rows."""
    named = {(f"{name}/{stratum}", key): moved for (stratum, key), moved in mean.influences.items()}
    return replace(mean, influences=named)


def _evaluator(scores: Scores, label: str) -> dict[str, Any]:
    found = scores.artifacts[label]
    return {
        "headline": scores.headline(label),
        "metrics": {name: metric.as_row() for name, metric in scores.metrics(label).items()},
        "against": scores.against(label),
        "signature": dict(next(iter(found.values())).measures["signature"]),
        "unanswered": {model: count for model, one in found.items() if (count := one.measures["unanswered"])},
        **_items(scores, label),
    }


def _items(scores: Scores, label: str) -> dict[str, int]:
    """How many items the rows of the main metric name, and in how many languages; nothing where they name none."""
    models = scores.languages.get(label, {}).get(scores.headline(label) or "", {}).values()
    items = max([statistics.mean_of(parts).items for parts in models], default=0)
    return {"items": items, "languages": max(map(len, models))} if items else {}


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
    models, lacking = {}, {}
    by_model = {one: scores.languages.get(one[0], {}).get(one[1], {}) for one in of}
    gaps = {one: coverage.missing(found) for one, found in by_model.items()}
    for model in scores.models:
        parts = {one: found[model] for one, found in by_model.items() if model in found}
        if len(parts) < len(of):
            continue
        means = [
            (PROMPTS if scores.needs_answers(label) else label, statistics.mean_of(part))
            for (label, _), part in parts.items()
        ]
        models[model] = group_mean(means).as_row()
        lacking[model] = {
            f"{label} ({metric})": codes[model] for (label, metric), codes in gaps.items() if model in codes
        }
    return {
        "of": [list(one) for one in of],
        "in_place_of": [one for one in members if "." not in one],
        "models": models,
        "missing": {model: codes for model, codes in lacking.items() if codes},
    }


def _estimates(parts: Mapping[str, Estimate]) -> dict[str, Any]:
    mean = statistics.mean_of(parts).as_row()
    return {"mean": mean, "languages": {code: estimate.as_row() for code, estimate in parts.items()}}
