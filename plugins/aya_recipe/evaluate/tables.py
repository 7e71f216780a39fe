"""The tables of an evaluation, as papers print them: models by tasks, and for each task languages by models and its parts.

Made of the accounts of stages (see `scores.py`), by name. A number is the mean over languages, with half its 95% interval behind ±.
Numbers that are shares, between 0 and 1 throughout, are given in percent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from aya_core.api import Table

Account = Mapping[str, Any]

ABOUT = "Means over languages, each language counts alike; ± is half the 95% interval, n the number of prompts or rows."

CONTAMINATION = (
    "exact: a prompt or answer of a training row, but for case and white space. overlapping: 13 words in a row (26 characters in scripts "
    "without spaces) of one, templates left out. Training rows are those that the recipe read for the models and for what made them."
)


@dataclass(frozen=True)
class Column:
    """A number of every model: the headline of an evaluator, or the mean of a group. estimates: by model, those that are known."""

    name: str
    estimates: Mapping[str, Mapping[str, Any]]
    is_share: bool


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
        [shown[model], *(cell(column.estimates.get(model), column.is_share) for column in columns)] for model in models
    ]
    rows.append(["n", *(_n(column.estimates.values()) for column in columns)])
    header = ["model", *(f"{column.name}, %" if column.is_share else column.name for column in columns)]
    return Table(header, rows, "Models by tasks", [ABOUT, *_group_notes(stages), *_signatures(stages)])


def languages_by_models(account: Account, label: str, title: str) -> Table:
    """The main metric of an evaluator: a row for each language and one for their mean, a column for each model, and n."""
    metric = account["evaluators"][label]["headline"]
    found = _main(account, label)
    models = [model for model in models_of(account) if model in found]
    is_share = _is_share(found, account["evaluators"][label])
    codes = sorted({code for scored in found.values() for code in scored["languages"]})
    rows = []
    for code in codes:
        estimates = [found[model]["languages"].get(code) for model in models]
        rows.append([code, *(cell(one, is_share) for one in estimates), _n(filter(None, estimates))])
    means = [found[model]["mean"] for model in models]
    rows.append(["mean", *(cell(one, is_share) for one in means), _n(means)])
    unit = f"{metric}, %" if is_share else metric
    shown = names(models_of(account))
    return Table(["language", *(shown[model] for model in models), "n"], rows, f"{title}: {unit} by language")


def parts_by_models(account: Account, label: str, title: str) -> Iterator[Table]:
    """An evaluator's other metrics, as means over languages: a row for each that is not 0 throughout; nothing where none is."""
    headline = account["evaluators"][label]["headline"]
    models = models_of(account)
    rows = []
    for metric, found in account["scores"][label].items():
        if metric == headline or not any(scored["mean"]["value"] for scored in found.values()):
            continue
        is_share = _is_share(found, account["evaluators"][label])
        means = [found.get(model, {}).get("mean") for model in models]
        name = f"{metric}, %" if is_share else metric
        rows.append([name, *(cell(one, is_share) for one in means), _n(filter(None, means))])
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


def cell(estimate: Mapping[str, Any] | None, is_share: bool) -> str:
    """A number and half its interval, where that is known; shares in percent. Three digits count, of numbers from 10 on as of shares."""
    if estimate is None:
        return ""
    times = 100 if is_share else 1
    digits = 1 if is_share or abs(estimate["value"]) >= 10 else 3
    half = "" if estimate["high"] is None else f" ± {times * (estimate['high'] - estimate['value']):.{digits}f}"
    return f"{times * estimate['value']:z.{digits}f}{half}"


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
            yield Column(title_of(label, stage, stages), means, _is_share(found, evaluator))
        for name, group in groups.items():
            if group["of"][0][0] == label:
                yield Column(name, group["models"], all(_is_share(*_member(account, *one)) for one in group["of"]))


def _member(account: Account, label: str, metric: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return account["scores"][label][metric], account["evaluators"][label]


def _main(account: Account, label: str) -> Mapping[str, Any]:
    """An evaluator's main metric by model; a rival is not compared with itself."""
    evaluator = account["evaluators"][label]
    found = account["scores"][label].get(evaluator["headline"], {})
    return {model: scored for model, scored in found.items() if model != evaluator["against"]}


def _is_share(found: Mapping[str, Any], evaluator: Mapping[str, Any]) -> bool:
    values = [one["value"] for scored in found.values() for one in (scored["mean"], *scored["languages"].values())]
    return evaluator["goal"] != "min" and bool(values) and all(0 <= value <= 1 for value in values)


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


def _signatures(stages: Mapping[str, Account]) -> Iterator[str]:
    for name, account in stages.items():
        for label, evaluator in account["evaluators"].items():
            described = "; ".join(f"{key}: {value}" for key, value in evaluator["signature"].items()).replace(
                "\n", "\\n"
            )
            yield f"{title_of(label, name, stages)}: {evaluator['headline']} ({described})"
        if account["sampling"] is not None:
            described = ", ".join(
                f"{key} {value}" for key, value in account["sampling"].items() if value not in (None, [])
            )
            yield f"{name}: answers to its prompts with {described}"
