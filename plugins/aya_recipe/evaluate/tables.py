"""The tables of an evaluation, as papers print them: models by tasks, and for each task languages by models and its parts.

Made of the accounts of stages (see `scores.py`), by name. A number is the mean over languages, with half its 95% interval behind ±.
Metrics that are declared as shares are given in percent. A mean over fewer languages than another model's says over how many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from aya_core.api import Metric, Table
from aya_recipe.evaluate.evaluation import GREEDY
from aya_recipe.numbers import coverage
from aya_recipe.report.blocks import number

Account = Mapping[str, Any]

ABOUT = "Means over languages, each language counts alike; ± is half the 95% interval, n the number of prompts or rows."

CONTAMINATION = (
    "exact: a prompt or answer of a training row, but for case and white space. overlapping: 13 words in a row (26 characters in scripts "
    "without spaces) of one, templates left out. Training rows are those that the recipe read for the models and for what made them."
)


@dataclass(frozen=True)
class Column:
    """A number of every model: the headline of an evaluator, or the mean of a group. estimates: by model, those that are known. over: by
    model what its mean is over, where that is less than for others."""

    name: str
    estimates: Mapping[str, Mapping[str, Any]]
    metric: Metric
    over: Mapping[str, str]


def of_stages(stages: Mapping[str, Account]) -> Iterator[Table]:
    """What is said of several stages with the same models in one table: models by tasks, and contamination."""
    yield models_by_tasks(stages)
    yield from contamination(stages)


def models_of(account: Account) -> list[str]:
    """All models, the controls last."""
    return [*account["models"], *account["controls"]]


def models_by_tasks(stages: Mapping[str, Account]) -> Table:
    """A row for each model, a column for each evaluator's main metric, or for the group that it is in; n in the last row."""
    models = models_of(next(iter(stages.values())))
    columns = [column for name, account in stages.items() for column in _columns(name, account, stages)]
    shown = names(models)
    rows = [
        [
            shown[model],
            *(cell(column.estimates.get(model), column.metric, column.over.get(model, "")) for column in columns),
        ]
        for model in models
    ]
    rows.append(["n", *(_n(column.estimates.values()) for column in columns)])
    header = ["model", *(f"{column.name}{column.metric.described}" for column in columns)]
    notes = [ABOUT, *_group_notes(stages), *_missing_notes(stages, shown), *_signatures(stages)]
    return Table(header, rows, "Models by tasks", notes)


def languages_by_models(account: Account, label: str, title: str) -> Table:
    """The main metric of an evaluator: a row for each language and one for their mean, a column for each model, and n."""
    metric = account["evaluators"][label]["headline"]
    found = _main(account, label)
    models = [model for model in models_of(account) if model in found]
    declared = metric_of(account, label, metric)
    over = over_languages(found)
    codes = sorted({code for scored in found.values() for code in scored["languages"]})
    rows = []
    for code in codes:
        estimates = [found[model]["languages"].get(code) for model in models]
        rows.append([code, *(cell(one, declared) for one in estimates), _n(filter(None, estimates))])
    means = [found[model]["mean"] for model in models]
    rows.append(["mean", *(cell(found[model]["mean"], declared, over.get(model, "")) for model in models), _n(means)])
    shown = names(models_of(account))
    header = ["language", *(shown[model] for model in models), "n"]
    return Table(header, rows, f"{title}: {metric}{declared.described} by language")


def parts_by_models(account: Account, label: str, title: str) -> Iterator[Table]:
    """An evaluator's other metrics, as means over languages: a row for each that is not 0 throughout; nothing where none is."""
    headline = account["evaluators"][label]["headline"]
    models = models_of(account)
    rows = []
    for metric, found in account["scores"][label].items():
        if metric == headline or not any(scored["mean"]["value"] for scored in found.values()):
            continue
        declared, over = metric_of(account, label, metric), over_languages(found)
        means = {model: found.get(model, {}).get("mean") for model in models}
        cells = (cell(mean, declared, over.get(model, "")) for model, mean in means.items())
        rows.append([f"{metric}{declared.described}", *cells, _n(filter(None, means.values()))])
    if rows:
        shown = names(models)
        yield Table(["metric", *(shown[model] for model in models), "n"], rows, f"{title}: its parts")


def contamination(stages: Mapping[str, Account]) -> Iterator[Table]:
    """Rows of evaluators that occur in training rows, in all and in each language that has some; nothing where none was compared."""
    rows = []
    for name, account in stages.items():
        contamination = account["contamination"]
        for label, languages in contamination["evaluators"].items() if contamination else ():
            title = title_of(label, name, stages)
            rows.append(_contaminated(title, languages.values()))
            for code, counts in languages.items():
                if counts["exact"] or counts["overlapping"]:
                    rows.append(_contaminated(f"{title}, {code}", [counts]))
    if rows:
        header = ["rows that occur in training rows", "rows", "exact", "overlapping"]
        yield Table(header, rows, "Contamination", [CONTAMINATION])


def _contaminated(name: str, counts: Collection[Mapping[str, int]]) -> list[str]:
    total = {key: sum(count[key] for count in counts) for key in ("rows", "exact", "overlapping")}
    shares = [f"{total[key]:,} ({100 * total[key] / total['rows']:.1f}%)" for key in ("exact", "overlapping")]
    return [name, f"{total['rows']:,}", *shares]


def cell(estimate: Mapping[str, Any] | None, metric: Metric, over: str = "") -> str:
    """A number and half its interval, where that is known; shares in percent. Three digits count, of numbers from 10 on as of shares.

    over: what a mean is over, where others are over more.
    """
    if estimate is None:
        return ""
    digits = 1 if abs(estimate["value"]) >= 10 and not metric.is_share else 3
    half = "" if estimate["high"] is None else f" ± {number(estimate['high'] - estimate['value'], metric, digits)}"
    return f"{number(estimate['value'], metric, digits)}{half}" + (f" ({over})" if over else "")


def metric_of(account: Account, label: str, name: str) -> Metric:
    """What the evaluator declared of a metric, be it of greedy answers."""
    declared = account["evaluators"][label]["metrics"]
    return Metric(**declared.get(name.removeprefix(GREEDY), {}))


def over_languages(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Over how many languages the mean of a model is, where another model has more. found: by model, with `languages`."""
    return coverage.over({model: scored["languages"] for model, scored in found.items()})


def names(models: Sequence[str]) -> dict[str, str]:
    """What models are called: of a path as little as tells them apart, at least its last part."""
    parts = {model: PurePath(model).parts if PurePath(model).is_absolute() else (model,) for model in models}
    shown = {}
    for model, own in parts.items():
        ends = (own[-count:] for count in range(1, len(own) + 1))
        end = next(end for end in ends if sum(other[-len(end) :] == end for other in parts.values()) == 1)
        shown[model] = str(PurePath(*end)) if len(own) > 1 else model
    return shown


def _columns(stage: str, account: Account, stages: Mapping[str, Account]) -> Iterator[Column]:
    """A group stands where its first evaluator does; the main metrics that it is the mean of have no column of their own."""
    groups = {name: group for name, group in account["groups"].items() if group["models"]}
    replaced = {label for group in groups.values() for label in group["in_place_of"]}
    for label, evaluator in account["evaluators"].items():
        if label not in replaced:
            found = _main(account, label)
            means = {model: scored["mean"] for model, scored in found.items()}
            metric = metric_of(account, label, evaluator["headline"])
            yield Column(title_of(label, stage, stages), means, metric, over_languages(found))
        for name, group in groups.items():
            if group["of"][0][0] == label:
                over = dict.fromkeys(group["missing"], "fewer languages")
                yield Column(name, group["models"], _in_common([metric_of(account, *one) for one in group["of"]]), over)


def _in_common(metrics: Sequence[Metric]) -> Metric:
    """What the mean of several metrics is: where all have one unit, it has that, and where all have one better end, that."""
    units, ends = {metric.unit for metric in metrics}, {metric.better for metric in metrics}
    return Metric(units.pop() if len(units) == 1 else "", better=ends.pop() if len(ends) == 1 else None)


def _main(account: Account, label: str) -> Mapping[str, Any]:
    """An evaluator's main metric by model."""
    found: Mapping[str, Any] = account["scores"][label].get(account["evaluators"][label]["headline"], {})
    return found


def _n(estimates: Any) -> str:
    counts = sorted({estimate["n"] for estimate in estimates})
    if not counts:
        return ""
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def title_of(label: str, stage: str, stages: Mapping[str, Account]) -> str:
    """An evaluator's label, with its stage where another has the same, and with the limit that its rows were drawn by."""
    several = sum(label in account["evaluators"] for account in stages.values()) > 1
    title = f"{stage}: {label}" if several else label
    limit = stages.get(stage, {}).get("evaluators", {}).get(label, {}).get("signature", {}).get("limit")
    return title if limit is None else f"{title} (limit {limit.split()[0]})"


def limited(account: Account) -> Mapping[str, str]:
    """The limits that evaluators were given, which make their numbers others than those of the whole sets."""
    found = account["evaluators"].items()
    return {label: one["signature"]["limit"] for label, one in found if "limit" in one["signature"]}


def _group_notes(stages: Mapping[str, Account]) -> Iterator[str]:
    for account in stages.values():
        for name, group in account["groups"].items():
            if group["models"]:
                of = ", ".join(f"{label} ({metric})" for label, metric in group["of"])
                yield f"{name}: {'mean of ' if len(group['of']) > 1 else ''}{of}."


def _missing_notes(stages: Mapping[str, Account], shown: Mapping[str, str]) -> Iterator[str]:
    """Which languages a mean lacks that another model's has."""
    for stage, account in stages.items():
        for label in account["evaluators"]:
            lacking = coverage.missing({model: scored["languages"] for model, scored in _main(account, label).items()})
            for model, codes in lacking.items():
                yield f"{title_of(label, stage, stages)}: the mean of {shown[model]} is without {', '.join(codes)}, which others have."
        for name, group in account["groups"].items():
            for model, members in group["missing"].items():
                without = "; ".join(f"{member} without {', '.join(codes)}" for member, codes in members.items())
                yield f"{name}: the mean of {shown[model]} is over fewer languages than others: {without}."


def items_note(evaluator: Mapping[str, Any]) -> str:
    """How errors take the rows of an evaluator."""
    if "items" not in evaluator:
        return "errors: rows are independent"
    languages = f"{evaluator['languages']} language{'' if evaluator['languages'] == 1 else 's'}"
    return f"errors: items: {evaluator['items']:,} across {languages}, each drawn with all of its rows"


def _signatures(stages: Mapping[str, Account]) -> Iterator[str]:
    for name, account in stages.items():
        for label, evaluator in account["evaluators"].items():
            described = "; ".join(f"{key}: {value}" for key, value in evaluator["signature"].items()).replace(
                "\n", "\\n"
            )
            yield f"{title_of(label, name, stages)}: {evaluator['headline']} ({described}; {items_note(evaluator)})"
        if account["sampling"] is not None:
            described = ", ".join(
                f"{key} {value}" for key, value in account["sampling"].items() if value not in (None, [])
            )
            yield f"{name}: answers to its prompts with {described}"
