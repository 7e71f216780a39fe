"""The account of an online stage, from what its steps recorded.

- model: the step whose model is the stage's result; ended: what ended the rounds (`round`, `reason`, `broken` limits), or None
- reference, data: as in the recipe
- guards: what was measured of the start (round 0) and after each round that was done
- rounds: of each that was done, prompts, answers that were scored, their mean score and by language, rows to train on, drops by reason,
  mean margin of the pairs, objective, and the reference model by training step
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aya_core.artifacts import Artifact, read_rows
from aya_core.records import Preference
from aya_core.registry import Registry
from aya_core.report.arbitrage import by_reason
from aya_core.stage_settings import OnlineStage

Standing = Mapping[str, Artifact]
Row = dict[str, Any]


def gather(stage: OnlineStage, registry: Registry, standing: Standing) -> Row:
    """Make the account of the rounds that were done."""
    name, last = stage.name, f"{stage.name}.{stage.iterations}"
    guards = [_own(f"{name}.{round}.guard", standing) for round in range(stage.iterations + 1)]
    measured = [dict(guard.measures) for guard in guards if guard is not None]
    result = standing.get(f"{last}.passed", standing.get(last))
    return {
        "model": result.node if result else None,
        "ended": next((guard["stop"] for guard in measured if guard["stop"]), None),
        "reference": stage.reference,
        "data": stage.data,
        "guards": measured,
        "rounds": [
            _round(stage, registry, round, standing)
            for round in range(1, stage.iterations + 1)
            if _own(f"{name}.{round}.{stage.data}", standing) and _own(f"{name}.{round}.pairs", standing)
            and _own(f"{name}.{round}.best", standing)
        ],
    }  # fmt: skip


def _own(id: str, standing: Standing) -> Artifact | None:
    """A step's own artifact; none where another's stands in for it."""
    artifact = standing.get(id)
    return artifact if artifact is not None and artifact.node == id else None


def _round(stage: OnlineStage, registry: Registry, round: int, standing: Standing) -> Row:
    name = f"{stage.name}.{round}"
    margins = [pair.margin for pair in read_rows(standing[f"{name}.pairs"].payload, Preference)]
    known = [margin for margin in margins if margin is not None]
    account = standing[f"{name}.best"].measures["account"]
    scores = {
        language: {"value": row["mean_score"], "n": row["scored"]}
        for rows in account["teachers"].values()
        for language, row in rows.items()
        if row["scored"]
    }
    scored = sum(score["n"] for score in scores.values())
    rows = standing[f"{name}.{stage.data}"].measures
    objective = stage.objective_of(round)
    return {
        "round": round,
        "prompts": standing[f"{name}.answers"].measures["prompts"],
        "scored": scored,
        "mean_score": sum(score["value"] * score["n"] for score in scores.values()) / scored if scored else None,
        "scores": scores,
        "pairs": len(margins),
        "rows": rows["rows"],
        "dropped": by_reason(rows["dropped"]),
        "mean_margin": sum(known) / len(known) if known else None,
        "objective": registry.dump("objective", objective) if objective is not None else None,
        "references": {
            id: artifact.settings["reference_model"]
            for id, artifact in standing.items()
            if (id == name or id.startswith(f"{name}@")) and artifact.settings.get("reference_model")
        },
    }
