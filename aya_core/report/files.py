"""Write the report of a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aya_core.report import tables
from aya_core.report.latex import latex
from aya_core.report.markdown import markdown, table_lines
from aya_core.report.page import page, tables_page
from aya_core.report.wins import picture, pictures


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json`, `report.md`, `report.html`, a picture of each arbitrage and of win rates, and the tables of evaluations,
    each in one step."""
    for name, text in _texts(report):
        partial = folder / f"{name}.partial"
        partial.parent.mkdir(exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.rename(folder / name)


def file_name(name: str) -> str:
    """A name as that of a file; models that are named by their path have slashes."""
    return name.replace("/", "--")


def _texts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, account in report["arbitrage"].items():
        yield f"pictures/{name}.svg", picture(account, f"{name}: whose answer won where")
    for stage, account in report["tables"].items():
        for name, drawn in pictures(stage, account):
            yield f"pictures/{file_name(name)}.svg", drawn
    for name, stages in tables.sets(report["tables"]):
        made = list(tables.all_tables(stages))
        yield f"tables/{name}.json", json.dumps(stages, indent=1, ensure_ascii=False) + "\n"
        yield f"tables/{name}.md", "\n".join(line for table in made for line in table_lines(table)) + "\n"
        yield f"tables/{name}.tex", "\n".join(map(latex, made))
        yield f"tables/{name}.html", tables_page(name, made, stages)
    yield "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    yield "report.md", markdown(report)
    yield "report.html", page(report)
