"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aya_core.api import Alert, Block, Picture, RunReport, Section, Table, file_name
from aya_recipe.report.blocks import has_tables, shown


def markdown(report: RunReport) -> str:
    """Write the whole report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def table_lines(table: Table, heading: str = "##") -> Iterator[str]:
    """A table, its title before and its notes behind it. What stands below its rule is a table of its own."""
    if table.title:
        yield f"{heading} {table.title}\n"
    yield from _rows(table.header, table.rows)
    yield ""
    if table.controls:
        yield "Controls:\n"
        yield from _rows(table.header, table.controls)
        yield ""
    yield from (f"- {note}" for note in table.notes)
    if table.notes:
        yield ""


def _lines(report: RunReport) -> Iterator[str]:
    yield f"# {report.recipe}, seed {report.seed}\n"
    for name, section in report.in_order():
        yield f"## {section.title}\n"
        yield from _section(name, section)
    yield f"Took {report.seconds} s. aya-core {report.aya_core}."


def _section(name: str, section: Section) -> Iterator[str]:
    for block in shown(section, "report"):
        yield from _block(block)
    if has_tables(section):
        yield f"All tables, as LaTeX and HTML, too: tables/{file_name(name)}.md, .tex, .html, .json.\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from table_lines(block, "###")
    elif isinstance(block, Picture):
        yield f"![{block.title}](pictures/{file_name(block.name)}.svg)\n"
    else:
        yield f"**Warning**: {block.text}\n" if isinstance(block, Alert) else f"{block.text}\n"


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left and the others to the right."""
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
