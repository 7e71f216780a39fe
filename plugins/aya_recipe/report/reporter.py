"""The report of a run, as the core asks for it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from aya_core.api import RunReport
from aya_recipe.report import files, terminal


class RecipeReporter:
    """See `Reporter`."""

    def write(self, report: RunReport, folder: Path) -> None:
        """Write `report.md`, `report.html`, tables and pictures."""
        files.write(report, folder)

    def show(self, report: RunReport, console: Console, *, whole: bool = False) -> None:
        """Print what is brief, of several results that of the leading one; or else all that the pages show open."""
        for place, (name, section) in enumerate(report.in_order()):
            if section.is_result and place > 0 and not whole:
                continue
            terminal.show(name, section, console, "report" if whole else "brief")
