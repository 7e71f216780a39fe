"""What a search found, in words that do not promise more than the validation rows allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aya_core.api import Section, StageRecord, Text


def section(stage: StageRecord) -> Section | None:
    """Say what a search found; None where it has not ended."""
    if stage.name not in stage.standing:
        return None
    found = dict(stage.standing[stage.name].measures)
    return Section(f"{stage.name}: searched", found, [Text(sentences(found), level="brief")])


def sentences(account: Mapping[str, Any]) -> str:
    """Say which merge was best of how many, and whether it beats the uniform one. account: the measures of the node."""
    tried = f"{account['tried']} merges" + (f", of which {account['failed']} failed" if account["failed"] else "")
    better = " (lower is better)" if account.get("goal") == "min" else ""
    scored = f"{account['metric']}{better} {account['score']:.4f}, uniform {account['uniform']:.4f} (n {account['n']})"
    if account["best"] == 0:
        return f"{tried}: none scored better than the uniform one. {scored}."
    weights = ", ".join(
        f"{name} {value:.3g}" for name, value in (*account["weights"].items(), *account["settings"].items())
    )
    return f"{tried}: the best is number {account['best']} ({weights}). {scored}. {_verdict(account)}"


def _verdict(account: Mapping[str, Any]) -> str:
    difference = account["difference"]
    if difference is None or difference["low"] is None:
        return "With so few rows the difference has no interval."
    paired = (
        f"{difference['value']:+.4f}, 95% interval {_interval(difference, '')}, or {_interval(difference, '_of_best')} as it is "
        "the best of many"
    )
    if account["beats_uniform"]:
        return f"It beats the uniform one by more than the paired interval: {paired}."
    return (
        f"It is not told apart from the uniform one: paired difference {paired}. More validation rows tell more apart."
    )


def _interval(difference: Mapping[str, float], which: str) -> str:
    return f"{difference[f'low{which}']:+.4f} to {difference[f'high{which}']:+.4f}"
