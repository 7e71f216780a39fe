"""The account of an arbitrage stage, from what its steps recorded: no row is read again.

- prompts, unrouted, best: how many there are, how many no teacher was asked, and how many best answers were kept
- teachers: totals of each
- by_language: the same by teacher and language; languages: how well the arbiter told answers apart there
- wins: prompts won, by language and teacher, before caps; pairs: how many, and what was dropped; dropped: of the best answers
- warnings: in which languages scores hardly separate the candidates

Of each teacher (and language): prompts asked, answers; of these scored, abstained on, failed and empty; prompts won, mean margin
over the best answer of another teacher (on the prompts won), mean score, tokens, seconds, means of the arbiter's details, and the
commonest reasons for abstentions and failures. Seconds are the
wall-clock time of asking, loading included, shared out by tokens (by answers where tokens are not known).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aya_core.artifacts import Artifact
from aya_core.plan import Plan
from aya_core.stage_settings import ArbitrageStage
from aya_core.stages.account import warnings

Row = dict[str, Any]

SUMS = ("asked", "answers", "scored", "abstained", "failed", "empty", "won", "tokens")


def gather(stage: ArbitrageStage, plan: Plan, standing: Mapping[str, Artifact]) -> Row:
    """Make the account of a stage whose best answers stand."""
    best = standing[f"{stage.name}.best"].measures
    account = best["account"]
    routes = standing[f"{stage.name}.routes"].measures
    answers = {
        role.removeprefix("answers."): standing[id].measures
        for role, id in plan.nodes[f"{stage.name}.verdicts"].inputs.items()
        if role.startswith("answers.")
    }
    teachers: dict[str, Row] = {}
    by_language: dict[str, dict[str, Row]] = {}
    for teacher in sorted(answers):
        asked = routes["routed"].get(teacher, {})
        judged = account["teachers"].get(teacher, {})
        seconds = answers[teacher]["seconds"] if stage.answers is None else None
        rows = {code: _row(judged.get(code), asked.get(code, 0)) for code in sorted({*asked, *judged})}
        by_language[teacher] = _with_seconds(rows, seconds)
        teachers[teacher] = _total(rows.values(), seconds)
    wins: dict[str, Row] = {code: {} for code in account["languages"]}
    for teacher, rows in by_language.items():
        for code, row in rows.items():
            if row["won"]:
                wins.setdefault(code, {})[teacher] = row["won"]
    pairs = standing[f"{stage.name}.pairs"].measures if f"{stage.name}.pairs" in standing else {}
    return {
        "prompts": routes["prompts"],
        "unrouted": routes["unrouted"],
        "best": best["rows"],
        "teachers": teachers,
        "by_language": by_language,
        "languages": account["languages"],
        "wins": dict(sorted(wins.items())),
        "dropped": best["dropped"],
        "pairs": pairs,
        "warnings": [*_left_out(stage, plan, standing), *warnings(account)],
    }


def _left_out(stage: ArbitrageStage, plan: Plan, standing: Mapping[str, Artifact]) -> list[str]:
    """Say which rows of the prompts' data set were left out for their language."""
    id = plan.nodes[f"{stage.name}.routes"].inputs.get("prompts")
    left_out = standing[id].measures.get("left_out") if id is not None else None
    if not left_out:
        return []
    told = ", ".join(f"{code} {count}" for code, count in left_out.items())
    return [f"prompts in languages that the recipe does not name were left out: {told}"]


def by_reason(dropped: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Add up a table of drops by reason."""
    counts: dict[str, int] = defaultdict(int)
    for row in dropped:
        counts[row["reason"]] += row["count"]
    return dict(sorted(counts.items()))


def _row(judged: Mapping[str, Any] | None, asked: int) -> Row:
    nothing: Row = {
        **dict.fromkeys(SUMS, 0), "mean_score": None, "mean_margin": None, "margins": 0, "details": {}, "detailed": {}, "reasons": {},
    }  # fmt: skip
    return {**nothing, **(judged or {}), "asked": asked}


def _with_seconds(rows: dict[str, Row], seconds: float | None) -> dict[str, Row]:
    """Share a teacher's seconds out over languages."""
    by = "tokens" if any(row["tokens"] for row in rows.values()) else "answers"
    total = sum(row[by] for row in rows.values())
    return {
        code: {**row, "seconds": None if seconds is None or not total else round(seconds * row[by] / total, 3)}
        for code, row in rows.items()
    }


def _total(rows: Iterable[Row], seconds: float | None) -> Row:
    """Add rows up; means are weighted by what they are means of."""
    rows = list(rows)
    names = sorted({name for row in rows for name in row["details"]})
    details = {
        name: [(row["details"][name], row["detailed"][name]) for row in rows if name in row["details"]]
        for name in names
    }
    return {
        **{name: sum(row[name] for row in rows) for name in SUMS},
        "mean_score": _mean([(row["mean_score"], row["scored"]) for row in rows]),
        "mean_margin": _mean([(row["mean_margin"], row["margins"]) for row in rows]),
        "details": {name: _mean(pairs) for name, pairs in details.items()},
        "reasons": _added([row["reasons"] for row in rows]),
        "seconds": seconds,
    }


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total.most_common())


def _mean(pairs: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
