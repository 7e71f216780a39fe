"""The section of an arbitrage stage: its account, from what its steps recorded. No row is read again.

- prompts, unrouted, best: how many there are, how many no teacher was asked, and how many best answers were kept
- teachers: totals of each
- by_language: the same by teacher and language; languages: how well the arbiter told answers apart there
- wins: prompts won, by language and teacher, before caps; pairs: how many, and what was dropped; dropped: of the best answers
- warnings: in which languages scores hardly separate the candidates

- cost: of all, by currency; judge: tokens that the arbiter's teachers took, by member of an ensemble, and their cost

Of each teacher (and language): prompts asked, answers; of these scored, abstained on and failed, cut at the longest length, filtered,
refused, empty, and those that came with reasoning; `endings`, all words by which answers ended; prompts won, mean margin
over the best answer of another teacher (on the prompts won), mean score, tokens of answers and of prompts (each prompt once), their
cost where the teacher has a price, answers whose tokens are not known (`untold`), seconds, means of the arbiter's details, the
commonest reasons for abstentions and failures, and why prompts were not answered. Seconds are the wall-clock time of asking, loading
included, shared out by tokens (by answers where tokens are not known).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aya_core.api import Alert, Block, Picture, Reasons, Section, StageRecord, Text
from aya_recipe.arbitrage import costs, limiting
from aya_recipe.arbitrage.account import warnings
from aya_recipe.data import left_out
from aya_recipe.report import bars
from aya_recipe.report.bars import COLORS, Bar
from aya_recipe.report.blocks import number, table_of

Row = dict[str, Any]

ENDED = ("cut", "filtered", "refused", "empty", "reasoned")
"""Columns of the table that are shown where any answer is one of these."""

SUMS = ("asked", "answers", "scored", "abstained", "failed", *ENDED, "won", "tokens", "prompt_tokens", "untold")

SHOWN = 3
"""Reasons for which prompts were not answered that are told of each teacher."""

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
    prices = {name: teaching["teacher"].get("price") for name, teaching in (stage.settings["teachers"] or {}).items()}
    teachers: dict[str, Row] = {}
    by_language: dict[str, dict[str, Row]] = {}
    for teacher in sorted(answers):
        asked = routes["routed"].get(teacher, {})
        judged = account["teachers"].get(teacher, {})
        seconds = answers[teacher]["seconds"] if stage.settings["answers"] is None else None
        because = _because(answers[teacher])
        price = prices.get(teacher)
        rows = {
            code: _row(judged.get(code), asked.get(code, 0), because.get(code, {}), price)
            for code in sorted({*asked, *judged, *because})
        }
        by_language[teacher] = _with_seconds(rows, seconds)
        teachers[teacher] = _total(rows.values(), seconds)
    wins: dict[str, Row] = {code: {} for code in account["languages"]}
    for teacher, rows in by_language.items():
        for code, row in rows.items():
            if row["won"]:
                wins.setdefault(code, {})[teacher] = row["won"]
    pairs = standing[f"{stage.name}.pairs"].measures if f"{stage.name}.pairs" in standing else {}
    judge = costs.judge_tokens(account["teachers"])
    judge_cost = costs.total(costs.judge_costs(judge, stage.settings["arbiter"]))
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
        "judge": {"tokens": judge, "cost": judge_cost},
        "cost": costs.total([*(row["cost"] for row in teachers.values()), judge_cost]),
        "warnings": [
            *_limited(stage),
            *left_out.sentences(stage),
            *_unanswered(teachers, by_language),
            *warnings(account),
            *_unpriced(teachers, prices),
            *costs.unpriced_judges(judge, stage.settings["arbiter"]),
        ],
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
    rows = account["teachers"]
    ended = [name for name in ENDED if any(row[name] for row in rows.values())]
    counts = ("asked", "answers", *ended, "scored", "abstained", "failed", "won")
    cost = ["cost"] if account["cost"] else []
    names = (name.replace("abstained", "abst.") for name in counts)
    yield ["teacher", *names, "score", "margin", "prompt tokens", "tokens", *cost, "s"]
    for teacher, row in rows.items():
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        means = [number(row["mean_score"]), number(row["mean_margin"])]
        tokens = [str(row["prompt_tokens"] or ""), str(row["tokens"] or "")]
        paid = [costs.in_words(row["cost"])] if cost else []
        yield [teacher, *(str(row[key]) for key in counts), *means, *tokens, *paid, seconds]


def details_table(account: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Means of the arbiter's details by teacher as text, the header first; nothing where it gives none."""
    teachers = account["teachers"]
    names = sorted({name for row in teachers.values() for name in row["details"]})
    names = [name for name in names if name.rpartition("/")[2] not in costs.JUDGE_TOKENS]
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
    sentences = [f"Dropped: {', '.join(dropped)}."] if dropped else []
    for member, counts in account["judge"]["tokens"].items():
        who = f"The judge '{member}'" if member else "The judge"
        sentences.append(f"{who} read {counts['prompt_tokens']:,} tokens and wrote {counts['tokens']:,}.")
    if account["judge"]["cost"]:
        sentences.append(f"Judging cost {costs.in_words(account['judge']['cost'])}.")
    if account["cost"]:
        sentences.append(f"All together cost {costs.in_words(account['cost'])}.")
    return " ".join([f"{made}.", *sentences])


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


def _because(measures: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Why prompts of a teacher were not answered, by language."""
    found: dict[str, dict[str, int]] = {}
    for row in measures.get("unanswered_because", ()):
        found.setdefault(row["language"], {})[row["reason"]] = row["count"]
    return found


def _unanswered(teachers: Mapping[str, Row], by_language: Mapping[str, Mapping[str, Row]]) -> Iterator[str]:
    """Say why prompts were not answered, the commonest reasons of each teacher."""
    for teacher, total in teachers.items():
        others = list(total["unanswered_because"].values())[SHOWN:]
        for reason in list(total["unanswered_because"])[:SHOWN]:
            counts = {code: row["unanswered_because"].get(reason, 0) for code, row in by_language[teacher].items()}
            where = ", ".join(f"{code} {count}" for code, count in counts.items() if count)
            many = total["unanswered_because"][reason]
            yield f"{teacher}: {many} prompt{'' if many == 1 else 's'} not answered: {reason}{f' ({where})' if where else ''}"
        if others:
            yield f"{teacher}: {sum(others)} more not answered, for {len(others)} other reason{'' if len(others) == 1 else 's'}"


def _unpriced(teachers: Mapping[str, Row], prices: Mapping[str, Any]) -> Iterator[str]:
    """Say whose cost is not known although it has a price."""
    for teacher, row in teachers.items():
        if prices.get(teacher) is not None and row["answers"] and row["cost"] is None:
            yield f"{teacher}: has a price, but how many tokens its answers took is not known, so its cost is in no sum"
        elif prices.get(teacher) is not None and row["untold"]:
            yield (
                f"{teacher}: how many tokens {row['untold']} of its {row['answers']} answers took is not known, so its cost is "
                "more than it says here"
            )


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
    return [] if limit is None else [f"made with a limit: {limiting.sentence(limit)}"]


def by_reason(dropped: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Add up a table of drops by reason."""
    counts: dict[str, int] = defaultdict(int)
    for row in dropped:
        counts[row["reason"]] += row["count"]
    return dict(sorted(counts.items()))


def _row(
    judged: Mapping[str, Any] | None, asked: int, because: Mapping[str, int], price: Mapping[str, Any] | None
) -> Row:  # fmt: skip
    nothing: Row = {
        **dict.fromkeys(SUMS, 0), "mean_score": None, "mean_margin": None, "margins": 0, "details": {}, "detailed": {}, "reasons": {},
        "endings": {},
    }  # fmt: skip
    row = {**nothing, **(judged or {}), "asked": asked, "unanswered_because": dict(because)}
    return {**row, "cost": costs.cost(row, price)}


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
        "endings": _added([row["endings"] for row in rows]),
        "unanswered_because": _added([row["unanswered_because"] for row in rows], keep_equal=True),
        "cost": costs.total(row["cost"] for row in rows) or None,
        "seconds": seconds,
    }


def _added(counts: Iterable[Mapping[str, int]], *, keep_equal: bool = False) -> dict[str, int]:
    total = Reasons(keep_equal=keep_equal)
    for count in counts:
        total.update(count)
    return total.counts()


def _mean(pairs: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
