"""The section of an evaluate stage: what each model scored, and how it differs from the model before it.

- headline, unit, goal: the first evaluator's main metric, its unit, and which end of it is better ("max", "min", or None where
  nobody knows)
- are_stages: whether models are stages of the run, each of which goes on from the one before it, rather than models that are given
- stages: models in the recipe's line, or those given; for each score (the headline metric), low, high, n, greedy, win_rate_vs_base, the
  gain on the model before it, or on the first of those given (a difference, which is negative where a metric to be minimized became
  better), over which languages, where another model has more, and every metric
- controls: the same for models beside the line
- languages: the headline metric of every model in each language
- signature: everything that moved the numbers
- table: every metric of every model in every language (see `scores.py`)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

from aya_core.api import Alert, Block, Metric, Picture, Section, StageRecord, Table, Text
from aya_recipe.data import left_out
from aya_recipe.evaluate import published, scores, tables, unscored
from aya_recipe.evaluate.evaluation import GREEDY
from aya_recipe.evaluate.scores import Scores
from aya_recipe.evaluate.tables import models_of, names
from aya_recipe.numbers import statistics
from aya_recipe.numbers.statistics import Estimate, Sums
from aya_recipe.report import bars
from aya_recipe.report.bars import COLORS, Bar
from aya_recipe.report.blocks import number

Row = dict[str, Any]

BETTER = {"max": "Higher is better.", "min": "Lower is better."}

COLUMNS = ("model", "score", "change from the row above", "greedy", "win/loss/tie vs base, %", "n")
CHANGE = 2
"""The place of the change among them."""


def section(stage: StageRecord) -> Section | None:
    """Say what came of the models that are evaluated; None where none is yet."""
    measured = scores.read(stage)
    if not any(measured.artifacts.values()):
        return None
    account = scores.account(measured)
    data = {**_main(measured), "table": account}
    return Section(f"{stage.name}: {_title(data)}", data, list(_blocks(stage, data)), is_result=True)


def _title(data: Mapping[str, Any]) -> str:
    if not data["are_stages"]:
        return "what each model scored"
    return "what each stage gained" if data["goal"] == "max" else "what each stage changed"


def _blocks(stage: StageRecord, data: Mapping[str, Any]) -> Iterator[Block]:
    name, account = stage.name, data["table"]
    yield from (Alert(sentence) for sentence in left_out.sentences(stage))
    for limit, labels in groupby(
        sorted(tables.limited(account).items(), key=lambda one: one[1]), key=lambda one: one[1]
    ):
        yield Alert(
            f"{', '.join(label for label, _ in labels)}: measured with a limit ({limit}); these are no numbers of whole sets"
        )
    yield from (Alert(sentence) for sentence in unscored.sentences(account, names(models_of(account))))
    if data["stages"] or data["controls"]:
        about = f"{data['headline']}, mean over languages; ± is half the 95% interval, n the number of prompts."
        better = BETTER.get(data["goal"], "")
        paired = (
            "Changes are paired by prompt, over what both models have."
            if any("gain" in row for row in data["stages"])
            else ""
        )
        yield Text(" ".join(filter(None, (about, paired, better))), level="brief")
        yield of_scores(name, data)
        yield main_table(data)
    joined = _joined(stage, account)
    for place, table in enumerate(tables.of_stages(joined) if joined else ()):
        is_seen = (
            place > 0 or len(table.header) > 2
        )  # what one evaluator says of the models is in the main table already
        yield replace(table, level="report" if is_seen else "tables")
    yield from published.tables_of(stage, joined)
    if data["languages"]:
        yield of_languages(name, data)
    main = next(iter(account["evaluators"]))
    for label in account["scores"]:
        table = tables.languages_by_models(account, label, tables.title_of(label, name, joined or {name: account}))
        yield replace(table, level="report" if label == main else "tables")
        for parts in tables.parts_by_models(account, label, tables.title_of(label, name, joined or {name: account})):
            yield replace(parts, level="tables")
    yield from of_rivals(name, account)


def _joined(stage: StageRecord, account: Mapping[str, Any]) -> dict[str, Any]:
    """The accounts of all stages that evaluate the same models, which the first of them shows in one table; of the others none."""
    alike = [other for other in scores.evaluate_stages(stage.run) if _models(other) == _models(stage)]
    if alike[0].name != stage.name:
        return {}
    return {other.name: account if other.name == stage.name else scores.account(scores.read(other)) for other in alike}


def _models(stage: StageRecord) -> list[str]:
    return [*stage.settings["models"], *stage.settings["controls"]]


def main_table(data: Mapping[str, Any]) -> Table:
    """A row for each model, without columns in which nothing stands."""
    models = [*data["stages"], *data["controls"]]
    metric, shown = Metric(data.get("unit", ""), better=data["goal"]), names([row["name"] for row in models])
    rows = [_cells(row, metric, shown) for row in models]
    kept = [0, *(place for place in range(1, len(COLUMNS)) if any(row[place] for row in rows))]
    body = [[row[place] for place in kept] for row in rows]
    count, header = len(data["stages"]), list(COLUMNS)
    header[1] = f"score{Metric(metric.unit).described}"
    if not data.get("are_stages", True):
        header[CHANGE] = f"change from {shown[models[0]['name']]}"
    return Table([header[place] for place in kept], body[:count], controls=body[count:], level="brief")


def _cells(row: Mapping[str, Any], metric: Metric, shown: Mapping[str, str]) -> Sequence[str]:
    missing = f" ({row['unanswered']} unanswered)" if row.get("unanswered") else ""
    name, over = shown[row["name"]], f" ({row['over']})" if row.get("over") else ""
    return (
        f"{name} (is {row['alias_of']})" if "alias_of" in row else name,
        "the rival" if row.get("rival") else _number(row if "score" in row else None, metric, "score") + over,
        _change(row.get("gain"), metric),
        _number(row.get("greedy"), metric, "score"),
        "/".join(f"{100 * row['win_rate_vs_base'][key]:.0f}" for key in ("win", "loss", "tie"))
        if row.get("win_rate_vs_base")
        else "",
        f"{row['n']}{missing}" if "n" in row else "",
    )


def _number(estimate: Mapping[str, Any] | None, metric: Metric, key: str = "value", sign: str = "") -> str:
    """A number and half its interval, where that is known."""
    if not estimate:
        return ""
    half = "" if estimate["high"] is None else f" ± {number(estimate['high'] - estimate[key], metric)}"
    return f"{number(estimate[key], metric, sign=sign)}{half}"


def _change(gain: Mapping[str, Any] | None, metric: Metric) -> str:
    """A change, with a word where less is better and the change is told apart from none."""
    change = _number(gain, metric, sign="+")
    if not gain or metric.better != "min" or gain["high"] is None or gain["low"] <= 0 <= gain["high"]:
        return change
    return f"{change} {'worse' if gain['value'] > 0 else 'better'}"


def _main(measured: Scores) -> dict[str, Any]:
    settings, headline = measured.stage.settings, measured.labels[0]
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
    base = settings["models"][0]
    rivals = [label for label in measured.labels if measured.against(label) == base]
    rows = {model: _row(model, metrics, main, rivals) for model, metrics in estimates.items()}
    if (rival := measured.against(headline)) in rows:
        rows[rival]["rival"] = True
    for model, count in unanswered.items():
        rows[model] |= {"unanswered": count} if count else {}
    for model, row in rows.items():
        row |= _stood_in(measured.stage, model)
    line = [model for model in settings["models"] if model in rows]
    are_stages = any(model in measured.stage.run.names for model in settings["models"])
    for before, after in pairwise(line):
        first = before if are_stages else line[0]
        gain = statistics.gain(sums.get(first, {}).get(main, {}), sums.get(after, {}).get(main, {}))
        if gain is None:
            gain = statistics.gain_of_corpora(estimates[first].get(main, {}), estimates[after].get(main, {}))
        if gain is not None:
            rows[after]["gain"] = gain.as_row()
    parts = {model: metrics[main] for model, metrics in estimates.items() if main in metrics}
    for model, over in tables.over_languages({model: {"languages": own} for model, own in parts.items()}).items():
        rows[model]["over"] = over
    declared = measured.metric(headline, measured.headline(headline) or "")
    languages: dict[str, dict[str, Any]] = defaultdict(dict)
    for model, metrics in estimates.items():
        for language, estimate in metrics.get(main, {}).items():
            languages[language][model] = estimate.as_row()
    return {
        "headline": main,
        "unit": declared.unit,
        "goal": declared.better,
        "are_stages": are_stages,
        "stages": [rows[model] for model in line],
        "controls": [rows[model] for model in settings["controls"] if model in rows],
        "languages": dict(sorted(languages.items())),
        "signature": {"evaluators": signature, "sampling": settings["sampling"]},
    }


def _row(model: str, metrics: Mapping[str, Mapping[str, Estimate]], main: str, rivals: Sequence[str]) -> Row:
    """A model's row. rivals: evaluators that compare with the base."""
    means = {name: statistics.mean_of(parts) for name, parts in metrics.items()}
    row: Row = {"name": model}
    if main in means:
        row |= _score(means[main])
        row["n"] = means[main].n
    if (greedy := GREEDY + main) in means:
        row["greedy"] = _score(means[greedy])
    for label in rivals:
        for prefix, key in (("", "win_rate_vs_base"), (GREEDY, "greedy_win_rate_vs_base")):
            outcomes = {name: means.get(_metric_name(label, prefix + name)) for name in ("win", "loss", "tie")}
            known = {name: estimate.value for name, estimate in outcomes.items() if estimate is not None}
            if len(known) == len(outcomes):
                row[key] = known
    row["metrics"] = {name: estimate.as_row() for name, estimate in means.items()}
    return row


def _score(estimate: Estimate) -> Row:
    row = estimate.as_row()
    return {"score": row["value"], "low": row["low"], "high": row["high"]}


def _metric_name(label: str, metric: str) -> str:
    """The evaluator's label and its metric; one word where they agree."""
    prefix, bare = (GREEDY, metric.removeprefix(GREEDY)) if metric.startswith(GREEDY) else ("", metric)
    return f"{prefix}{label}" if bare == label else f"{prefix}{label}: {bare}"


def _stood_in(stage: StageRecord, name: str) -> Mapping[str, str]:
    """Which model another one stands in for, where a guard ended the rounds that would have made it."""
    step = stage.run.steps.get(stage.run.names.get(name, {}).get("", ""))
    if step is None or step.guard is None or step.id not in stage.run.standing:
        return {}
    made = stage.run.standing[step.id].node
    return {} if made == step.alias_of else {"alias_of": made}


OUTCOMES = {"win": "#6cc5b0", "loss": "#ff8ab7", "tie": "#c9ccd1"}
"""Outcomes of a comparison with a rival, and their colors."""


def of_scores(stage: str, data: Mapping[str, Any]) -> Picture:
    """Draw the headline of every model with its interval; controls are of another color."""
    rows = [(row, COLORS[0]) for row in data["stages"]] + [(row, COLORS[-1]) for row in data["controls"]]
    shown = names([row["name"] for row, _ in rows])
    drawn = [
        bars.Scored(shown[row["name"]], row["score"], color, row["low"], row["high"])
        for row, color in rows
        if "score" in row
    ]
    metric = Metric(data["unit"], better=data["goal"])
    title = f"{stage}: {data['headline']}{metric.described}, with 95% intervals"
    return Picture(f"{stage}.scores", title, bars.scores(title, drawn, is_share=metric.is_share))


def of_languages(stage: str, data: Mapping[str, Any]) -> Picture:
    """Draw the headline of every model in the recipe's line, language by language."""
    shown = names([row["name"] for row in (*data["stages"], *data["controls"])])
    models = [row["name"] for row in data["stages"]]
    colors = {shown[model]: COLORS[index % len(COLORS)] for index, model in enumerate(models)}
    by_language = {
        code: [
            bars.Scored(shown[model], found[model]["value"], colors[shown[model]]) for model in models if model in found
        ]
        for code, found in data["languages"].items()
    }
    metric = Metric(data["unit"], better=data["goal"])
    title = f"{stage}: {data['headline']}{metric.described} by language"
    return Picture(f"{stage}.languages", title, bars.groups(title, colors, by_language, is_share=metric.is_share))


def of_rivals(stage: str, account: Mapping[str, Any]) -> Iterator[Picture]:
    """Draw the win rates of an evaluate stage: all pairs of a model and its rival, then each pair by language.

    They are those of the paper's figures 1, 2 and 4 (arXiv 2412.04261).
    """
    shown = names(models_of(account))
    for label, evaluator in account["evaluators"].items():
        rival, metrics = evaluator["against"], account["scores"][label]
        if rival is None or not OUTCOMES.keys() <= metrics.keys():
            continue
        of_pairs = {}
        for model in models_of(account):
            outcomes = {name: metrics[name][model] for name in OUTCOMES if model in metrics[name]}
            if model != rival and len(outcomes) == len(OUTCOMES):
                pair = f"{shown[model]} vs {shown.get(rival, rival)}"
                of_pairs[pair] = {name: scored["mean"] for name, scored in outcomes.items()}
                codes = sorted(outcomes["win"]["languages"])
                of_one = {
                    code: {name: scored["languages"][code] for name, scored in outcomes.items()} for code in codes
                }
                yield _outcomes(f"{stage}.{label}@{shown[model]}", f"{stage}: {pair}, %", of_one)
        if of_pairs:
            yield _outcomes(f"{stage}.{label}", f"{stage}: {label}, mean over languages, %", of_pairs)


def _outcomes(name: str, title: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Picture:
    drawn = []
    for row, outcomes in rows.items():
        labels = {outcome: f"{100 * estimate['value']:.1f}" for outcome, estimate in outcomes.items()}
        values = {outcome: estimate["value"] for outcome, estimate in outcomes.items()}
        drawn.append(Bar(row, values, labels, f"n {outcomes['win']['n']}", is_labeled=True))
    return Picture(name, title, bars.shares(title, OUTCOMES, drawn), level="tables")
