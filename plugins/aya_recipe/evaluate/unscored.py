"""What evaluators could not score, said above the tables: a mean over what is left, or one in which that counts as wrong, does not say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNSCORED = ("unscored", "unjudged")
"""What evaluators call the share of their rows, or battles, that they could not score."""


def sentences(account: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Say of each evaluator which share of each model's rows was not scored. shown: what models are called."""
    for label, metrics in account["scores"].items():
        for metric in UNSCORED:
            shares = {model: one["mean"]["value"] for model, one in metrics.get(metric, {}).items()}
            if found := [f"{100 * share:.1f}% of {shown[model]}" for model, share in shares.items() if share]:
                yield f"{label}: {metric}: {', '.join(found)}; the other numbers of these models are none of all rows as asked"
