"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aya_core.report import rounds
from aya_core.report.arbitrage import by_reason
from aya_core.report.gather import rows_of
from aya_core.report.search import sentences
from aya_core.report.tables import Table, contamination, models_by_tasks, sets

COLUMNS = ("model", "score", "gain on the row above", "greedy", "win/loss/tie vs base, %", "n")


def markdown(report: Mapping[str, Any]) -> str:
    """Write the whole report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def cells(report: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """The main table as text: (stage or control, cells in the order of COLUMNS)."""
    for group, row in rows_of(report):
        score = _estimate(row if "score" in row else None, "score")
        gain = _estimate(row.get("gain"), sign="+")
        greedy = _estimate(row.get("greedy"), "score")
        name = f"{row['name']} (is {row['same_as']})" if "same_as" in row else row["name"]
        yield group, (name, score, gain, greedy, _win_rate(row.get("win_rate_vs_base")), _n(row))


def _n(row: Mapping[str, Any]) -> str:
    missing = f" ({row['unanswered']} unanswered)" if row.get("unanswered") else ""
    return f"{row['n']}{missing}" if "n" in row else ""


def number(value: float | None) -> str:
    """Three decimals, or nothing."""
    return "" if value is None else f"{value:.3f}"


def table(header: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, the first column to the left and the others to the right."""
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def table_lines(told: Table) -> Iterator[str]:
    """A table of an evaluation, its title before and its notes behind it."""
    yield f"## {told.title}\n"
    yield from table(told.header, told.rows)
    yield ""
    yield from (f"- {note}" for note in told.notes)
    if told.notes:
        yield ""


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {report['recipe']}, seed {report['seed']}"
    yield ""
    if report["stages"]:
        yield f"Score: {report['headline']}, mean over languages; ± is half the 95% interval, n the number of prompts."
        yield "Gains are paired by prompt."
        yield ""
        rows = list(cells(report))
        yield from table(COLUMNS, [row for group, row in rows if group == "stage"])
        if report["controls"]:
            yield "\nControls, beside the recipe's line:\n"
            yield from table(COLUMNS, [row for group, row in rows if group == "control"])
        yield from _tables(report)
        yield from _metrics(report)
        yield from _languages(report)
    yield from _arbitrage(report)
    for name, account in report["search"].items():
        yield f"\n## {name}: searched\n\n{sentences(account)}"
    for name, account in report["online"].items():
        yield f"\n## {name}: rounds\n\n{rounds.sentences(account)}\n"
        for told in (list(rounds.table(account)), list(rounds.dropped(account))):
            if told:
                yield from table(told[0], told[1:])
                yield ""
    yield f"\nTook {report['seconds']} s. aya-core {report['aya_core']}. Signature: `{report['signature']}`"


def _tables(report: Mapping[str, Any]) -> Iterator[str]:
    """Models by tasks, where there is more than one task, and contamination."""
    for name, stages in sets(report["tables"]):
        told = models_by_tasks(stages)
        if len(told.header) > 2:
            yield f"\n## {name}: models by tasks\n"
            yield from table(told.header, told.rows)
            yield f"\nBy language, with signatures and as LaTeX: tables/{name}.md, .tex, .html, .json."
        for told in contamination(stages):
            yield ""
            yield from table_lines(told)


def _metrics(report: Mapping[str, Any]) -> Iterator[str]:
    """Every metric of every model, without those that are zero throughout."""
    models = {row["name"]: row["metrics"] for _, row in rows_of(report)}
    names = sorted({name for metrics in models.values() for name, metric in metrics.items() if metric["value"]})
    if len(names) > 1:
        yield "\n## Every metric\n"
        rows = [[model, *(_estimate(metrics.get(name)) for name in names)] for model, metrics in models.items()]
        yield from table(["model", *names], rows)


def _languages(report: Mapping[str, Any]) -> Iterator[str]:
    models = [row["name"] for _, row in rows_of(report)]
    yield f"\n## {report['headline']} by language\n"
    rows = [
        [language, *(number(scores.get(model, {}).get("value")) for model in models)]
        for language, scores in report["languages"].items()
    ]
    yield from table(["language", *models], rows)


def _arbitrage(report: Mapping[str, Any]) -> Iterator[str]:
    for name, account in report["arbitrage"].items():
        yield f"\n## {name}: who won where\n"
        yield summary(account)
        yield "\nScores compare within a prompt only; the margin is over the best answer of another teacher, on the prompts won.\n"
        for rows in (account_table(account), details_table(account), wins_table(account)):
            header, *body = list(rows) or [[]]
            if header:
                yield from table(header, body)
                yield ""
        yield from (f"**Warning**: {warning}.\n" for warning in account["warnings"])


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


def _estimate(metric: Mapping[str, Any] | None, key: str = "value", sign: str = "") -> str:
    """A number and half its interval, where that is known."""
    if not metric:
        return ""
    half = "" if metric["high"] is None else f" ± {metric['high'] - metric[key]:.3f}"
    return f"{metric[key]:{sign}.3f}{half}"


def _win_rate(rates: Mapping[str, float] | None) -> str:
    return "" if rates is None else "/".join(f"{100 * rates[key]:.0f}" for key in ("win", "loss", "tie"))
