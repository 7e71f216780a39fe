"""The report as one HTML page without scripts: gains by stage, bars by language, and who won where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from aya_core.report import rounds
from aya_core.report.gather import rows_of
from aya_core.report.markdown import COLUMNS, account_table, cells, details_table, summary
from aya_core.report.search import sentences
from aya_core.report.tables import ABOUT, Table, contamination, models_by_tasks, sets
from aya_core.report.wins import COLOURS, picture, pictures

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } .quiet { opacity: .7; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.control td { opacity: .75; font-style: italic; }
.bar { display: flex; align-items: center; gap: .6rem; margin: .15rem 0; }
.bar > span:first-child { width: 9rem; text-align: right; }
.track { position: relative; flex: 1; height: 1.1rem; background: var(--soft); }
.fill { position: absolute; inset: 0 auto 0 0; } .whisker { position: absolute; top: .5rem; height: 2px; background: currentColor; }
svg { max-width: 100%; height: auto; }
.key { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; }
.languages { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem 2rem; }
.languages .bar > span:first-child { display: none; } .languages .bar { margin: 2px 0; }
.languages .track, .languages .fill { height: .5rem; }
details { margin-top: 2rem; } pre { white-space: pre-wrap; }
"""


def page(report: Mapping[str, Any]) -> str:
    """Write the whole report as HTML."""
    return _whole(f"{report['recipe']}, seed {report['seed']}", _body(report))


def tables_page(name: str, tables: Sequence[Table], stages: Mapping[str, Any]) -> str:
    """Write the tables and figures of an evaluation as HTML."""
    return _whole(f"{name}: tables", _tables_body(tables, stages))


def _whole(title: str, lines: Iterator[str]) -> str:
    title, body = escape(title), "\n".join(lines)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><body><h1>{title}</h1>\n{body}</body></html>\n"
    )


def _tables_body(tables: Sequence[Table], stages: Mapping[str, Any]) -> Iterator[str]:
    for stage, account in stages.items():
        for _, drawn in pictures(stage, account):
            yield drawn
    for table in tables:
        yield from _noted(table)


def _noted(table: Table) -> Iterator[str]:
    yield f"<h2>{escape(table.title)}</h2>"
    yield from _table(table.header, *table.rows)
    if table.notes:
        yield f'<ul class="quiet">{"".join(f"<li>{escape(note)}</li>" for note in table.notes)}</ul>'


def _models_by_tasks(report: Mapping[str, Any]) -> Iterator[str]:
    for name, stages in sets(report["tables"]):
        table = models_by_tasks(stages)
        if len(table.header) > 2:
            yield f"<h2>{escape(name)}: models by tasks</h2><p>{escape(ABOUT)}</p>"
            yield from _table(table.header, *table.rows)
            yield f'<p><a href="tables/{escape(name)}.html">By language, with figures and signatures</a></p>'
        for told in contamination(stages):
            yield from _noted(told)


def _body(report: Mapping[str, Any]) -> Iterator[str]:
    yield f'<p class="quiet">aya-core {report["aya_core"]}, {report["seconds"]} s</p>'
    if report["stages"]:
        yield f"<h2>What each stage gained</h2><p>{escape(report['headline'])}, mean over languages; the line is the 95% interval.</p>"
        yield from _gains(report)
        yield "<h2>In numbers</h2>"
        yield from _main_table(report)
        yield from _models_by_tasks(report)
        yield "<h2>By language</h2>"
        yield from _languages(report)
    for name, account in report["arbitrage"].items():
        yield f"<h2>{escape(name)}</h2>"
        yield f"<p>{escape(summary(account))}</p>"
        yield from (f"<p><b>{escape(warning)}</b></p>" for warning in account["warnings"])
        for rows in (account_table(account), details_table(account)):
            yield from _table(*rows)
        yield picture(account, f"{name}: whose answer won where")
    for name, account in report["search"].items():
        yield f"<h2>{escape(name)}</h2><p>{escape(sentences(account))}</p>"
    for name, account in report["online"].items():
        yield f"<h2>{escape(name)}: rounds</h2><p>{escape(rounds.sentences(account))}</p>"
        yield from _table(*rounds.table(account))
        yield from _table(*rounds.dropped(account))
        yield "<details><summary>By language</summary>"
        for metric, rows in rounds.by_language(account):
            yield f"<h3>{escape(metric)}</h3>"
            yield from _table(*rows)
        yield "</details>"
    yield f"<details><summary>Signature</summary><pre>{escape(str(report['signature']))}</pre></details>"


def _gains(report: Mapping[str, Any]) -> Iterator[str]:
    top = _top(row.get("high") or row.get("score", 0) for _, row in rows_of(report))
    for index, (group, row) in enumerate(rows_of(report)):
        if "score" in row:
            colour = COLOURS[0] if group == "stage" else COLOURS[-1]
            yield _bar(row["name"], row["score"], top, colour, row["low"], row["high"])
            if index == len(report["stages"]) - 1 and report["controls"]:
                yield '<p class="quiet">Controls:</p>'


def _table(header: Sequence[str] = (), *rows: Sequence[str]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _main_table(report: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in COLUMNS) + "</tr>"
    for group, row in cells(report):
        yield f'<tr class="{group}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _languages(report: Mapping[str, Any]) -> Iterator[str]:
    models = [row["name"] for row in report["stages"]]
    colours = {model: COLOURS[index % len(COLOURS)] for index, model in enumerate(models)}
    yield _legend(colours)
    top = _top(scores[m]["value"] for scores in report["languages"].values() for m in models if m in scores)
    yield '<div class="languages">'
    for language, scores in report["languages"].items():
        yield f"<div><b>{escape(language)}</b>"
        for model in models:
            if model in scores:
                yield _bar(model, scores[model]["value"], top, colours[model])
        yield "</div>"
    yield "</div>"


def _bar(label: str, value: float, top: float, colour: str, low: float | None = None, high: float | None = None) -> str:
    whisker = ""
    if low is not None and high is not None:
        left, right = 100 * max(low, 0) / top, 100 * high / top
        whisker = f'<div class="whisker" style="left:{left:.2f}%;width:{right - left:.2f}%"></div>'
    return (
        f'<div class="bar" title="{escape(label)}: {value:.3f}"><span>{escape(label)}</span><div class="track">'
        f'<div class="fill" style="width:{100 * value / top:.2f}%;background:{colour}"></div>{whisker}</div>'
        f"<span>{value:.3f}</span></div>"
    )


def _legend(colours: Mapping[str, str]) -> str:
    keys = (f'<span class="key" style="background:{c}"></span>{escape(name)}' for name, c in colours.items())
    return f"<p>{''.join(keys)}</p>"


def _top(values: Iterator[float] | Sequence[float]) -> float:
    """Where bars end: 1 for shares, the largest value otherwise."""
    largest = max(values, default=1.0)
    return 1.0 if largest <= 1 else largest
