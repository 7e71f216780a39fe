"""What a search found, in words that do not promise more than the validation rows allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aya_core.api import Metric, Section, StageRecord, Text
from aya_recipe.report.blocks import number


def section(stage: StageRecord) -> Section | None:
    """Say what a search found; None where it has not ended."""
    if stage.name not in stage.standing:
        return None
    found = dict(stage.standing[stage.name].measures)
    return Section(f"{stage.name}: searched", found, [Text(sentences(found), level="brief")])


def sentences(account: Mapping[str, Any]) -> str:
    """Say which merge was best of how many, and whether it beats the uniform one. account: the measures of the node."""
    tried = f"{account['tried']} merges" + (f", of which {account['failed']} failed" if account["failed"] else "")
    metric = Metric(account.get("unit", ""), better=account.get("goal"))
    score, uniform = (number(account[name], metric, 4) for name in ("score", "uniform"))
    scored = f"{account['metric']}{metric.described} {score}, uniform {uniform} (n {account['n']})"
    if account["best"] == 0:
        return f"{tried}: none scored better than the uniform one. {scored}."
    weights = ", ".join(
        f"{name} {value:.3g}" for name, value in (*account["weights"].items(), *account["settings"].items())
    )
    return f"{tried}: the best is number {account['best']} ({weights}). {scored}. {_verdict(account, metric)}"


def _verdict(account: Mapping[str, Any], metric: Metric) -> str:
    difference = account["difference"]
    if difference is None or difference["low"] is None:
        return "With so few rows the difference has no interval."
    paired = (
        f"{number(difference['value'], metric, 4, '+')}, 95% interval {_interval(difference, '', metric)}, or "
        f"{_interval(difference, '_of_best', metric)} as it is the best of many"
    )
    if account["beats_uniform"]:
        return f"It beats the uniform one by more than the paired interval: {paired}."
    return (
        f"It is not told apart from the uniform one: paired difference {paired}. More validation rows tell more apart."
    )


def _interval(difference: Mapping[str, float], which: str, metric: Metric) -> str:
    return " to ".join(number(difference[f"{end}{which}"], metric, 4, "+") for end in ("low", "high"))
