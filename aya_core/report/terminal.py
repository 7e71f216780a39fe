"""The report's main table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from aya_core.report.markdown import COLUMNS, cells


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print what each stage scored and gained, and the controls below."""
    if not report["stages"]:
        return
    table = Table(title=f"{report['recipe']}, seed {report['seed']}: {report['headline']}", title_justify="left")
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=index == 0)
    last = "stage"
    for group, row in cells(report):
        if group != last:
            table.add_section()
        table.add_row(*row, style="dim" if group == "control" else None)
        last = group
    console.print(table)
