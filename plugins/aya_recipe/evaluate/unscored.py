"""What evaluators could not score, said above the tables: the numbers themselves look as if all rows had been scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNSCORED = {"unscored": "rows", "unjudged": "battles"}
"""The metrics by which evaluators count what they could not score, and of what these are shares."""


def sentences(account: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Say of each evaluator which share of each model's rows was not scored. shown: what models are called."""
    for label, metrics in account["scores"].items():
        for metric, rows in UNSCORED.items():
            shares = {model: one["mean"]["value"] for model, one in metrics.get(metric, {}).items()}
            found = [f"{shown[model]} {_percent(share)}" for model, share in shares.items() if share]
            if found:
                yield (
                    f"{label}: not all {rows} were scored: {', '.join(found)} {metric}; models that differ in this do not compare"
                )


def _percent(share: float) -> str:
    return "below 0.1%" if share < 0.0005 else f"{100 * share:.1f}%"
