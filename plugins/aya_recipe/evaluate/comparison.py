"""Two models compared, metric by metric, over the prompts that both were measured on.

A difference is B's number less A's, each a mean over the languages that both have. Its interval is that of the paired bootstrap:
prompts are drawn within their language, or items across languages where rows name them, the same ones for both models. Metrics of
whole corpora have no rows to pair: they are paired by item where the evaluator says how much each item moves them; elsewhere their
difference has the error of two independent numbers, which is too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aya_core.api import Metric, Table
from aya_recipe.evaluate.evaluation import GREEDY
from aya_recipe.evaluate.scores import Scores
from aya_recipe.numbers import bootstrap, statistics
from aya_recipe.numbers.statistics import Estimate, Sums
from aya_recipe.report.blocks import number


@dataclass(frozen=True)
class Side:
    """A model in an evaluate stage. facts: all that moves its numbers beside the model, by evaluator. texts: hashes of the stage's
    prompts by id."""

    scores: Scores
    model: str
    facts: Mapping[str, Mapping[str, str]]
    texts: Mapping[str, str]


def compare(one: Side, other: Side, *, resamples: int = bootstrap.RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Compare two models in every metric that both have.

    Returns `evaluators`, each with what its signatures differ in, `headline` and `metrics`: of each the values on what both have,
    the difference, and the same by language. `left_out`: evaluators that only one side has. `rivals`: of evaluators with a rival, which
    side that is: it is not compared with itself. Draws depend on the seed alone.
    """
    bootstrap.need_numpy()
    labels = [
        [label for label in side.scores.artifacts if side.model in side.scores.artifacts[label]]
        for side in (one, other)
    ]
    common = [label for label in labels[0] if label in labels[1]]
    left_out = sorted(set(labels[0]) ^ set(labels[1]))
    return {
        "a": one.model,
        "b": other.model,
        "left_out": left_out,
        "rivals": {
            label: name
            for label in left_out
            for name, side in (("A", one), ("B", other))
            if side.scores.against(label) == side.model
        },
        "evaluators": {
            label: {
                "headline": one.scores.headline(label),
                "declared": _declarations(one, other, label),
                "differs": list(differing(one, other, label)),
                "metrics": dict(_metrics(one, other, label, resamples, seed)),
            }
            for label in common
        },
    }


def _declarations(one: Side, other: Side, label: str) -> dict[str, Any]:
    """What is declared of the metrics; runs of earlier versions say little, and the other side may know more."""
    less, more = sorted((side.scores.metrics(label) for side in (one, other)), key=len)
    return {name: metric.as_row() for name, metric in {**less, **more}.items()}


def differing(one: Side, other: Side, label: str) -> Iterator[str]:
    """Say what the signatures of two numbers differ in."""
    ours, theirs = one.facts[label], other.facts[label]
    for name in dict.fromkeys((*ours, *theirs)):
        if ours.get(name) != theirs.get(name):
            yield f"{name} is {_quoted(ours.get(name))} for A and {_quoted(theirs.get(name))} for B"
    for id in sorted(one.texts.keys() & other.texts.keys()):
        if one.texts[id] != other.texts[id]:
            yield f"the prompt '{id}' is another text for A than for B"
            return


def _quoted(value: str | None) -> str:
    return "not there" if value is None else repr(value)


def _metrics(one: Side, other: Side, label: str, resamples: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for metric, models in one.scores.languages[label].items():
        if one.model not in models or other.model not in other.scores.languages[label].get(metric, {}):
            continue
        sums = [side.scores.sums[label].get(metric, {}).get(side.model) for side in (one, other)]
        if sums[0] is not None and sums[1] is not None:
            found = _of_rows(sums[0], sums[1], resamples, seed)
        else:
            found = _of_corpora(models[one.model], other.scores.languages[label][metric][other.model])
        if found is not None:
            yield metric, found


def _of_rows(one: Sums, other: Sums, resamples: int, seed: int) -> dict[str, Any] | None:
    import numpy as np

    common = statistics.in_common(one, other)
    if common is None:
        return None
    ours, theirs = common
    values = [statistics.by_language(side) for side in (ours, theirs)]
    drawn = [bootstrap.draws(side, resamples=resamples, seed=seed) for side in (ours, theirs)]
    moved = {code: drawn[1][code] - drawn[0][code] for code in ours}
    languages = {}
    for code in ours:
        estimates = values[0][code], values[1][code]
        languages[code] = {
            **_difference(*estimates, moved[code], len(ours[code])),
            **_alone(one.get(code, {}), other.get(code, {}), len(ours[code])),
        }
    means = statistics.mean_of(values[0]), statistics.mean_of(values[1])
    whole = _difference(*means, np.nanmean(list(moved.values()), axis=0), sum(map(len, ours.values())))
    rows = [sum(map(len, side.values())) for side in (one, other)]
    alone = {"only_a": rows[0] - whole["n"], "only_b": rows[1] - whole["n"]}
    return {**whole, **alone, "items": means[0].items, "paired": True, "languages": languages}


def _difference(one: Estimate, other: Estimate, drawn: Any, n: int) -> dict[str, Any]:
    import numpy as np

    low, high = bootstrap.interval(drawn)
    is_known = len(one.influences) > 1  # observations: prompts, or items of several prompts
    difference = Estimate(other.value - one.value, float(np.nanstd(drawn, ddof=1)) if is_known else math.inf, n)
    return {**_row(one, other, difference), **({"low": low, "high": high} if is_known else {})}


def _alone(one: Mapping[str, Any], other: Mapping[str, Any], n: int) -> dict[str, int]:
    return {"only_a": len(one) - n, "only_b": len(other) - n}


def _of_corpora(one: Mapping[str, Estimate], other: Mapping[str, Estimate]) -> dict[str, Any] | None:
    common = sorted(one.keys() & other.keys())
    if not common:
        return None
    ours, theirs = ({code: side[code] for code in common} for side in (one, other))
    is_paired = all(part.influences for part in (*ours.values(), *theirs.values()))
    apart = statistics.less if is_paired else _apart
    languages = {code: _row(ours[code], theirs[code], apart(ours[code], theirs[code])) for code in common}
    means = statistics.mean_of(ours), statistics.mean_of(theirs)
    alone = {"only_a": sum(side.n for code, side in one.items() if code not in other)}
    alone["only_b"] = sum(side.n for code, side in other.items() if code not in one)
    return {
        **_row(*means, apart(*means)), **alone, "items": means[0].items, "paired": is_paired, "languages": languages,
    }  # fmt: skip


def _apart(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two numbers that are independent."""
    return Estimate(other.value - one.value, math.hypot(one.standard_error, other.standard_error), min(one.n, other.n))


def _row(one: Estimate, other: Estimate, difference: Estimate) -> dict[str, Any]:
    numbers = difference.as_row()
    return {"a": one.value, "b": other.value, "difference": numbers.pop("value"), **numbers}


def stands(row: Mapping[str, Any], among: int) -> str:
    """Mark a difference: `*` where its 95% interval leaves out 0, `**` where it does with each of so many held to 5% / among."""
    if row["standard_error"] is None or row["low"] <= 0 <= row["high"]:
        return ""
    low, high = Estimate(row["difference"], row["standard_error"], row["n"]).among(among)
    return "*" if low <= 0 <= high else "**"


def compared_tables(comparison: Mapping[str, Any], shown: tuple[str, str]) -> Iterator[Table]:
    """The main metrics in one table, and each by language in another. shown: what the models are called."""
    title = f"{shown[1]} (B) less {shown[0]} (A)"
    main = {}
    for label, evaluator in comparison["evaluators"].items():
        if evaluator["headline"] in evaluator["metrics"]:
            main[label] = evaluator["metrics"][evaluator["headline"]]
    header = ["metric", "A", "B", "B - A", "95% interval", "", "n", "only A", "only B"]
    rows = []
    for label, evaluator in comparison["evaluators"].items():
        for metric, row in evaluator["metrics"].items():
            is_main = metric == evaluator["headline"]
            if is_main or ("/" not in metric and (row["a"] or row["b"])):
                declared = _declared(evaluator, metric)
                mark = _marked(row, len(main), declared) if is_main else ""
                alone = [str(row["only_a"]), str(row["only_b"])]
                rows.append(
                    [f"{label}: {metric}{declared.described}", *_numbers(row, declared), mark, str(row["n"]), *alone]
                )
    yield Table(header, rows, title, list(_notes(comparison, len(main))))
    for label, row in main.items():
        languages = row["languages"]
        if len(languages) > 1:
            evaluator = comparison["evaluators"][label]
            metric = evaluator["headline"]
            declared = _declared(evaluator, metric)
            numbers = [
                [code, *_numbers(one, declared), _marked(one, len(languages), declared), str(one["n"])]
                for code, one in languages.items()
            ]
            about = f"{title}: {label}: {metric}{declared.described} by language"
            yield Table(["language", *header[1:7]], numbers, about, [note(len(languages))])


def _declared(evaluator: Mapping[str, Any], metric: str) -> Metric:
    return Metric(**evaluator["declared"].get(metric.removeprefix(GREEDY), {}))


def _marked(row: Mapping[str, Any], among: int, declared: Metric) -> str:
    """Mark a difference, with a word where less is better."""
    mark = stands(row, among)
    if not mark or declared.better != "min":
        return mark
    return f"{mark} {'worse' if row['difference'] > 0 else 'better'}"


def note(count: int) -> str:
    """Say what the marks mean among so many comparisons."""
    if count == 1:
        return "*: the 95% interval leaves out 0."
    return (
        f"*: the 95% interval leaves out 0, as it does by chance for one in 20 of equal numbers; {count} are compared here. **: it does "
        f"with each held to 5%/{count} (Bonferroni)."
    )


def _numbers(row: Mapping[str, Any], declared: Metric) -> list[str]:
    """Numbers as text; shares in percent."""
    ends = [number(row[name], declared, 4, "+") for name in ("low", "high")]
    interval = "" if row["low"] is None else " to ".join(ends)
    values = [number(row[name], declared, 4) for name in ("a", "b")]
    return [*values, number(row["difference"], declared, 4, "+"), interval]


def _notes(comparison: Mapping[str, Any], count: int) -> Iterator[str]:
    yield note(count) + " Other metrics have no mark."
    for label, evaluator in comparison["evaluators"].items():
        if any(not row["paired"] for row in evaluator["metrics"].values()):
            yield f"{label}: a metric of whole corpora; its difference is not paired, and the interval too wide."
        for what in evaluator["differs"]:
            yield f"{label}: not the same measurement: {what}."
        items = [(row["items"], len(row["languages"])) for row in evaluator["metrics"].values() if row["items"]]
        if items:
            count, languages = max(items)
            yield f"{label}: {count:,} items across {languages} languages, each drawn with all of its rows."
    for label in comparison["left_out"]:
        if label not in comparison["rivals"]:
            yield f"{label}: measured on one side only, and left out."
    for label, side in comparison["rivals"].items():
        yield f"{label}: {side} is its rival, and is not compared with itself: left out."
