"""The section of an arbitrage stage: its account, from what its steps recorded. No row is read again.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aya_core.api import Alert, Block, Picture, Section, StageRecord, Text
from aya_recipe.arbitrage import drawing_prompts
from aya_recipe.arbitrage.account import warnings
from aya_recipe.report import bars
from aya_recipe.report.bars import COLORS, Bar
from aya_recipe.report.blocks import number, table_of

Row = dict[str, Any]

SUMS = ("asked", "answers", "scored", "abstained", "failed", "empty", "won", "tokens")


MARGINS = (
    "Scores compare within a prompt only; the margin is over the best answer of another teacher, on the prompts won."
)


def section(stage: StageRecord) -> Section | None:
    """Say who won where; None where the best answers do not stand yet."""
    if f"{stage.name}.best" not in stage.standing:
        return None
    account = gather(stage)
    return Section(f"{stage.name}: who won where", account, list(_blocks(stage.name, account)))


def gather(stage: StageRecord) -> Row:
    """Make the account of a stage whose best answers stand."""
    standing = stage.run.standing
    best = standing[f"{stage.name}.best"].measures
    account = best["account"]
    routes = standing[f"{stage.name}.routes"].measures
    answers = {
        role.removeprefix("answers."): standing[id].measures
        for role, id in stage.steps[f"{stage.name}.verdicts"].inputs.items()
        if role.startswith("answers.")
    }
    teachers: dict[str, Row] = {}
    by_language: dict[str, dict[str, Row]] = {}
    for teacher in sorted(answers):
        asked = routes["routed"].get(teacher, {})
        judged = account["teachers"].get(teacher, {})
        seconds = answers[teacher]["seconds"] if stage.settings["answers"] is None else None
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
        "read": _columns_read(stage),
        "warnings": [*_limited(stage), *_left_out(stage), *warnings(account)],
    }


def _blocks(name: str, account: Mapping[str, Any]) -> Iterator[Block]:
    yield Text(summary(account))
    if account["read"]:
        yield Text(f"Prompts were read so: {'; '.join(account['read'])}.")
    yield Text(MARGINS)
    yield from table_of(account_table(account))
    yield from table_of(details_table(account), "The arbiter's details")
    yield _picture(name, account)
    yield from table_of(wins_table(account), "Prompts won, %, by language")
    yield from map(Alert, account["warnings"])


def account_table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """The totals of an account by teacher as text, the header first."""
    counts = ("asked", "answers", "scored", "abstained", "failed", "won")
    yield ["teacher", *(name.replace("abstained", "abst.") for name in counts), "score", "margin", "tokens", "s"]
    for teacher, row in account["teachers"].items():
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        means = [number(row["mean_score"]), number(row["mean_margin"])]
        yield [teacher, *(str(row[key]) for key in counts), *means, str(row["tokens"] or ""), seconds]


def details_table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Means of the arbiter's details by teacher as text, the header first; nothing where it gives none."""
    teachers = account["teachers"]
    names = sorted({name for row in teachers.values() for name in row["details"]})
    if names:
        yield ["mean of", *teachers]
    for name in names:
        yield [name, *(number(row["details"].get(name)) for row in teachers.values())]


def wins_table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Prompts won by language and teacher, before caps, in percent and as n, the header first; empty where not answered."""
    yield ["language", *account["teachers"], "n"]
    for code, won in account["wins"].items():
        total = sum(won.values())
        answered = [bool(account["by_language"][t].get(code, {}).get("answers")) for t in account["teachers"]]
        shares = [
            f"{100 * won.get(t, 0) / max(total, 1):.0f}" if known else ""
            for t, known in zip(account["teachers"], answered, strict=True)
        ]
        yield [code, *shares, str(total)]


def summary(account: Mapping[str, Any]) -> str:
    """What came of an arbitrage, in a sentence."""
    pairs = account["pairs"]
    dropped = [f"{reason} {n}" for reason, n in by_reason(account["dropped"]).items()]
    dropped += [f"{reason} {n} (pairs)" for reason, n in by_reason(pairs.get("dropped", ())).items()]
    unrouted = f", {account['unrouted']} asked of nobody" if account["unrouted"] else ""
    made = f"{account['prompts']} prompts{unrouted}: {account['best']} best answers, {pairs.get('rows', 0)} pairs"
    return f"{made}. Dropped: {', '.join(dropped)}." if dropped else f"{made}."


def _picture(name: str, account: Mapping[str, Any]) -> Picture:
    """Draw the wins of an arbitrage's account. Bars are shares of a language's prompts that were won; the number beside is n."""
    colors = {teacher: COLORS[index % len(COLORS)] for index, teacher in enumerate(account["teachers"])}
    rows = []
    for language, won in account["wins"].items():
        total = sum(won.values())
        labels = {teacher: f"{count} of {total}" for teacher, count in won.items()}
        rows.append(Bar(language, won, labels, str(total)))
    title = f"{name}: whose answer won where"
    return Picture(name, title, bars.shares(title, colors, rows))


def _reading(stage: StageRecord) -> Mapping[str, Any]:
    """The measures of the step that read the prompts."""
    id = stage.steps[f"{stage.name}.routes"].inputs.get("prompts")
    if id == f"{stage.name}.drawn":
        id = stage.steps[id].inputs["prompts"]
    return {} if id is None else stage.run.standing[id].measures


def _columns_read(stage: StageRecord) -> list[str]:
    """From which columns the prompts' data set was read, with rows where these differ."""
    ways = _reading(stage).get("columns", {})
    return [way if len(ways) == 1 else f"{way} ({count:,} rows)" for way, count in ways.items()]


def _limited(stage: StageRecord) -> list[str]:
    limit = stage.settings.get("limit")
    return [] if limit is None else [f"made with a limit: {drawing_prompts.sentence(limit)}"]


def _left_out(stage: StageRecord) -> list[str]:
    """Say which rows of the prompts' data set were left out for their language."""
    left_out = _reading(stage).get("left_out")
    if not left_out:
        return []
    counts = ", ".join(f"{code} {count}" for code, count in left_out.items())
    return [f"prompts in languages that the recipe does not name were left out: {counts}"]


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
