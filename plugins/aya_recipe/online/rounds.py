"""The rounds of online training as tables and a sentence, for every form of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aya_recipe.online.guard_measures import CHARACTERS, DISTINCT, KL, KL_PER_ANSWER, MISMATCH, TOKENS, UNDETERMINED

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
    said = f"{rounds} round{'' if rounds == 1 else 's'} on {account['data']}"
    if account["ended"] is None:
        said += ", none ended by a guard" if account["guards"] else ", without guards"
    if any(row["objective"] for row in account["rounds"]):
        said += f"; reference: {account['reference']}"
    if account["ended"] is not None:
        ended = account["ended"]
        said += (
            f". Ended by a guard after round {ended['round']}: {ended['reason']}. The result is '{account['model']}'"
        )
    unmeasured = {what: why for guard in account["guards"] for what, why in guard["unmeasured"].items()}
    return ". ".join([said, *(f"{what} was not measured: {why}" for what, why in unmeasured.items())]) + "."


def table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """A row for the start and one for each round, as text, the header first; cells of what was not measured are empty."""
    guards = {guard["round"]: guard["overall"] for guard in account["guards"]}
    metrics = [metric for metric in MEASURES if any(metric in overall for overall in guards.values())]
    of_rounds = ["score", "pairs", "margin", "dropped"]
    if account["data"] == "groups":
        of_rounds[1] = "rows"
    if account["rounds"] or guards:
        yield ["round", *of_rounds, *(MEASURES[metric] for metric in metrics)]
    rounds = {row["round"]: row for row in account["rounds"]}
    for round in sorted({*guards, *rounds}):
        row = rounds.get(round)
        cells = [""] * len(of_rounds)
        if row is not None:
            rows = row["rows"] if account["data"] == "groups" else row["pairs"]
            cells = [
                _number(row["mean_score"]),
                str(rows),
                _number(row["mean_margin"]),
                str(sum(row["dropped"].values())),
            ]
        measured = guards.get(round, {})
        yield [str(round), *cells, *(_number(measured.get(metric, {}).get("value")) for metric in metrics)]


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
        yield "sampled score", _languages(scores)
    for metric in BY_LANGUAGE:
        measured = {
            guard["round"]: {code: row[metric] for code, row in guard["languages"].items() if metric in row}
            for guard in account["guards"]
        }
        if any(measured.values()):
            yield metric, _languages({round: rows for round, rows in measured.items() if rows})


def _languages(rounds: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> Iterator[Sequence[str]]:
    """n is that of the last round."""
    yield ["language", *(f"round {round}" for round in rounds), "n"]
    for code in sorted({code for rows in rounds.values() for code in rows}):
        cells = [rows.get(code, {}) for rows in rounds.values()]
        yield [code, *(_number(cell.get("value")) for cell in cells), str(cells[-1].get("n", ""))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:z.3f}"
