"""The section of an online stage: the account of its rounds, from what its steps recorded.

- model: the step whose model is the stage's result; ended: what ended the rounds (`round`, `reason`, `broken` limits), or None
- reference, data: as in the recipe
- guards: what was measured of the start (round 0) and after each round that was done
- rounds: of each that was done, prompts, answers that were scored, their mean score and by language, rows to train on, drops by reason,
  mean margin of the pairs, objective, and the reference model by training step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aya_core.api import Block, Metric, Preference, Section, StageRecord, Text, read_rows
from aya_recipe.arbitrage.report import by_reason
from aya_recipe.numbers import coverage
from aya_recipe.online.guard_measures import (
    CHARACTERS,
    DISTINCT,
    KL,
    KL_PER_ANSWER,
    METRICS,
    MISMATCH,
    TOKENS,
    UNDETERMINED,
)
from aya_recipe.report.blocks import PLAIN, number, table_of

Row = dict[str, Any]


def section(stage: StageRecord) -> Section | None:
    """Say what came of the rounds; None before anything stands of them."""
    account = gather(stage)
    if not account["rounds"] and not account["guards"]:
        return None
    return Section(f"{stage.name}: rounds", account, list(_blocks(account)))


def _blocks(account: Mapping[str, Any]) -> Iterator[Block]:
    yield Text(sentences(account), level="brief" if account["ended"] is not None else "report")
    yield from table_of(table(account), "Rounds; what guards measured is the mean over languages")
    yield from table_of(dropped(account))
    for metric, rows in by_language(account):
        yield from table_of(rows, f"{metric} by language", level="tables", notes=_unit(METRICS.get(metric, PLAIN)))


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


MEASURES = {
    KL: "KL/token", KL_PER_ANSWER: "KL/answer", CHARACTERS: "characters", TOKENS: "tokens", MISMATCH: "mismatch",
    UNDETERMINED: "undet.", **{metric: f"dist-{n}" for metric, n in DISTINCT.items()},
}  # fmt: skip
"""What guards measured, in the order of the table, and how it is called there."""

BY_LANGUAGE = (KL, CHARACTERS, MISMATCH, *DISTINCT)
"""What is also shown language by language."""


def sentences(account: Mapping[str, Any]) -> str:
    """Say what rounds were done, on what, against which reference, and what ended them."""
    rounds = len(account["rounds"])
    if not rounds:
        return "No round is done yet."
    summary = f"{rounds} round{'' if rounds == 1 else 's'} on {account['data']}"
    if account["ended"] is None:
        summary += ", none ended by a guard" if account["guards"] else ", without guards"
    if any(row["objective"] for row in account["rounds"]):
        summary += f"; reference: {account['reference']}"
    if account["ended"] is not None:
        ended = account["ended"]
        summary += (
            f". Ended by a guard after round {ended['round']}: {ended['reason']}. The result is '{account['model']}'"
        )
    unmeasured = {what: why for guard in account["guards"] for what, why in guard["unmeasured"].items()}
    return ". ".join([summary, *(f"{what} was not measured: {why}" for what, why in unmeasured.items())]) + "."


def table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """A row for the start and one for each round, as text, the header first; cells of what was not measured are empty."""
    guards = {guard["round"]: guard["overall"] for guard in account["guards"]}
    metrics = [metric for metric in MEASURES if any(metric in overall for overall in guards.values())]
    of_rounds = ["score", "pairs", "margin", "dropped"]
    if account["data"] == "groups":
        of_rounds[1] = "rows"
    if account["rounds"] or guards:
        yield ["round", *of_rounds, *(f"{MEASURES[metric]}{METRICS[metric].described}" for metric in metrics)]
    over = {metric: _over(account, metric) for metric in metrics}
    rounds = {row["round"]: row for row in account["rounds"]}
    for round in sorted({*guards, *rounds}):
        row = rounds.get(round)
        cells = [""] * len(of_rounds)
        if row is not None:
            rows = row["rows"] if account["data"] == "groups" else row["pairs"]
            cells = [
                number(row["mean_score"]),
                str(rows),
                number(row["mean_margin"]),
                str(sum(row["dropped"].values())),
            ]
        measured = guards.get(round, {})
        yield [str(round), *cells, *(_mean(measured, metric, over[metric].get(str(round), "")) for metric in metrics)]


def _unit(metric: Metric) -> Sequence[str]:
    """What a table of one measure says below it."""
    said = [*(["in percent"] if metric.is_share else []), *(["lower is better"] if metric.better == "min" else [])]
    return ["; ".join(said).capitalize() + "."] if said else []


def _over(account: Mapping[str, Any], metric: str) -> dict[str, str]:
    """Over how many languages the mean of a round is, where that of another is over more."""
    found = {
        str(guard["round"]): [code for code, row in guard["languages"].items() if metric in row]
        for guard in account["guards"]
        if metric in guard["overall"]
    }
    return coverage.over(found)


def _mean(measured: Mapping[str, Any], metric: str, over: str) -> str:
    written = number(measured.get(metric, {}).get("value"), METRICS[metric])
    return f"{written} ({over})" if over else written


def dropped(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """What was dropped in each round by reason, as text, the header first; nothing where nothing was."""
    reasons = sorted({reason for row in account["rounds"] for reason in row["dropped"]})
    if reasons:
        yield ["dropped in round", *(str(row["round"]) for row in account["rounds"])]
    for reason in reasons:
        yield [reason, *(str(row["dropped"].get(reason, 0)) for row in account["rounds"])]


def by_language(account: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[Sequence[str]]]]:
    """For the sampled score and each measure, a table of languages and rounds, the header first."""
    scores = {row["round"]: row["scores"] for row in account["rounds"]}
    if scores:
        yield "sampled score", _languages(scores, PLAIN)
    for metric in BY_LANGUAGE:
        measured = {
            guard["round"]: {code: row[metric] for code, row in guard["languages"].items() if metric in row}
            for guard in account["guards"]
        }
        if any(measured.values()):
            known = {round: rows for round, rows in measured.items() if rows}
            yield metric, _languages(known, METRICS[metric])


def _languages(rounds: Mapping[int, Mapping[str, Mapping[str, Any]]], metric: Metric) -> Iterator[Sequence[str]]:
    """n is that of the last round."""
    yield ["language", *(f"round {round}" for round in rounds), "n"]
    for code in sorted({code for rows in rounds.values() for code in rows}):
        cells = [rows.get(code, {}) for rows in rounds.values()]
        yield [code, *(number(cell.get("value"), metric) for cell in cells), str(cells[-1].get("n", ""))]
