"""The report's main table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from aya_core.report.markdown import COLUMNS, cells


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print what each stage scored and gained, and the controls below."""
    if not report["stages"]:
        return
    title = (
        f"{report['recipe']}, seed {report['seed']}: {report['headline']}, mean over languages, ± half the 95% interval"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if index == 0 else "right")
    last = "stage"
    for group, row in cells(report):
        if group != last:
            table.add_section()
        table.add_row(*(cell.replace(" ± ", "±") for cell in row), style="dim" if group == "control" else None)
        last = group
    console.print(table)
