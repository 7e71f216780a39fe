"""The section of an online stage: the account of its rounds, from what its steps recorded.

- model: the step whose model is the stage's result; ended: what ended the rounds (`round`, `reason`, `broken` limits), or None
- reference, data: as in the recipe
- guards: what was measured of the start (round 0) and after each round that was done
- rounds: of each that was done, prompts, answers that were scored, their mean score and by language, rows to train on, drops by reason,
  mean margin of the pairs, objective, and the reference model by training step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aya_core.api import Block, Preference, Section, StageRecord, Text, read_rows
from aya_recipe.arbitrage.report import by_reason
from aya_recipe.online import rounds
from aya_recipe.report.blocks import table_of

Row = dict[str, Any]


def section(stage: StageRecord) -> Section | None:
    """Say what came of the rounds; None before anything stands of them."""
    account = gather(stage)
    if not account["rounds"] and not account["guards"]:
        return None
    return Section(f"{stage.name}: rounds", account, list(_blocks(account)))


def _blocks(account: Mapping[str, Any]) -> Iterator[Block]:
    yield Text(rounds.sentences(account), level="brief" if account["ended"] is not None else "report")
    yield from table_of(rounds.table(account), "Rounds; what guards measured is the mean over languages")
    yield from table_of(rounds.dropped(account))
    for metric, rows in rounds.by_language(account):
        yield from table_of(rows, f"{metric} by language", level="tables")


def gather(stage: StageRecord) -> Row:
    """Make the account of the rounds that were done."""
    iterations, data = stage.settings["iterations"], stage.settings["data"]
    name, last = stage.name, f"{stage.name}.{iterations}"
    guards = [stage.run.own(f"{name}.{round}.guard") for round in range(iterations + 1)]
    measured = [dict(guard.measures) for guard in guards if guard is not None]
    result = stage.standing.get(f"{last}.passed", stage.standing.get(last))
    return {
        "model": result.node if result else None,
        "ended": next((guard["stop"] for guard in measured if guard["stop"]), None),
        "reference": stage.settings["reference"],
        "data": data,
        "guards": measured,
        "rounds": [
            _round(stage, round)
            for round in range(1, iterations + 1)
            if all(stage.run.own(f"{name}.{round}.{what}") for what in (data, "pairs", "best"))
        ],
    }


def _round(stage: StageRecord, round: int) -> Row:
    name, standing, data = f"{stage.name}.{round}", stage.standing, stage.settings["data"]
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
    rows = standing[f"{name}.{data}"].measures
    objective = stage.settings["objective"]
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
        "objective": objective[round - 1] if isinstance(objective, list) else objective,
        "references": {
            id: artifact.settings["reference_model"]
            for id, artifact in standing.items()
            if (id == name or id.startswith(f"{name}@")) and artifact.settings.get("reference_model")
        },
    }
