"""A comparison of two models as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aya_core.api import Table
from aya_recipe.evaluate.comparison import stands


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
                mark = stands(row, len(main)) if is_main else ""
                alone = [str(row["only_a"]), str(row["only_b"])]
                rows.append([f"{label}: {metric}", *_numbers(row), mark, str(row["n"]), *alone])
    yield Table(header, rows, title, list(_notes(comparison, len(main))))
    for label, row in main.items():
        languages = row["languages"]
        if len(languages) > 1:
            told = [
                [code, *_numbers(one), stands(one, len(languages)), str(one["n"])] for code, one in languages.items()
            ]
            metric = comparison["evaluators"][label]["headline"]
            yield Table(
                ["language", *header[1:7]], told, f"{title}: {label}: {metric} by language", [note(len(languages))]
            )


def note(count: int) -> str:
    """Say what the marks mean among so many comparisons."""
    if count == 1:
        return "*: the 95% interval leaves out 0."
    return (
        f"*: the 95% interval leaves out 0, as it does by chance for one in 20 of equal numbers; {count} are compared here. **: it does "
        f"with each held to 5%/{count} (Bonferroni)."
    )


def _numbers(row: Mapping[str, Any]) -> list[str]:
    interval = "" if row["low"] is None else f"{row['low']:+z.4f} to {row['high']:+z.4f}"
    return [f"{row['a']:z.4f}", f"{row['b']:z.4f}", f"{row['difference']:+z.4f}", interval]


def _notes(comparison: Mapping[str, Any], count: int) -> Iterator[str]:
    yield note(count) + " Other metrics have no mark."
    for label, evaluator in comparison["evaluators"].items():
        if any(not row["paired"] for row in evaluator["metrics"].values()):
            yield f"{label}: a metric of whole corpora; its difference is not paired, and the interval too wide."
        for what in evaluator["differs"]:
            yield f"{label}: not the same measurement: {what}."
    for label in comparison["left_out"]:
        yield f"{label}: measured on one side only, and left out."
