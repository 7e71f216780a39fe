"""The report of a run, as the core asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from aya_core.api import Picture, RunReport, Section, Table, file_name, make_folder, write_file
from aya_recipe.report import terminal
from aya_recipe.report.blocks import has_tables
from aya_recipe.report.latex import latex
from aya_recipe.report.markdown import markdown, table_lines
from aya_recipe.report.page import page, tables_page
from aya_recipe.report.pictures import only_draws


class RecipeReporter:
    """See `Reporter`."""

    def write(self, report: RunReport, folder: Path) -> None:
        """Write `report.md`, `report.html`, tables and pictures."""
        write(report, folder)

    def show(self, report: RunReport, console: Console, *, whole: bool = False) -> None:
        """Print what is brief, of several results that of the leading one; or else all that the pages show open."""
        for place, (name, section) in enumerate(report.in_order()):
            if section.is_result and place > 0 and not whole:
                continue
            terminal.show(name, section, console, "report" if whole else "brief")


def write(report: RunReport, folder: Path) -> None:
    """Write `report.md`, `report.html`, the pictures, and for each section with tables files of them, each in one step."""
    for name, text in _texts(report):
        make_folder((folder / name).parent)
        write_file(folder / name, text)


def _texts(report: RunReport) -> Iterator[tuple[str, str]]:
    for stage, section in report.sections.items():
        for block in section.blocks:
            if isinstance(block, Picture) and (stage not in report.kept or only_draws(block.svg)):
                yield f"pictures/{file_name(block.name)}.svg", block.svg
        if has_tables(section):
            yield from _tables(file_name(stage), section, is_kept=stage in report.kept)
    yield "report.md", markdown(report)
    yield "report.html", page(report)


def _tables(name: str, section: Section, *, is_kept: bool) -> Iterator[tuple[str, str]]:
    made = [block for block in section.blocks if isinstance(block, Table)]
    yield f"tables/{name}.json", json.dumps(section.data, indent=1, ensure_ascii=False) + "\n"
    yield f"tables/{name}.md", "\n".join(line for table in made for line in table_lines(table)) + "\n"
    yield f"tables/{name}.tex", "\n".join(map(latex, made))
    yield f"tables/{name}.html", tables_page(section, is_kept=is_kept)
