"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from aya_core.api import Alert, Block, Picture, RunReport, Section, Table, file_name, visible
from aya_recipe.report.blocks import has_tables, shown

_MEANING = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=[#A-Za-z])")
"""What Markdown takes for more than text wherever it stands; an underscore inside of a word is none of it."""

_BEGINNING = re.compile(r"^\s*(?:(\d+)([.)])|([#+=-]))")
"""What it takes for a list, a heading or a rule at the beginning of a paragraph."""


def escape(text: str) -> str:
    """Take their meaning from the characters that Markdown treats as more than text; all of it is one line."""
    return _MEANING.sub(r"\\\g<0>", visible(" ".join(text.split("\n"))))


def paragraph(text: str) -> str:
    """Escape a text that begins a line."""
    return _BEGINNING.sub(lambda found: f"{found[1] or ''}\\{found[2] or found[3]}", escape(text).lstrip(), count=1)


def markdown(report: RunReport) -> str:
    """Write the whole report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def table_lines(table: Table, heading: str = "##") -> Iterator[str]:
    """A table, its title before and its notes behind it. What stands below its rule is a table of its own."""
    if table.title:
        yield f"{heading} {escape(table.title)}\n"
    yield from _rows(table.header, table.rows)
    yield ""
    if table.controls:
        yield "Controls:\n"
        yield from _rows(table.header, table.controls)
        yield ""
    yield from (f"- {paragraph(note)}" for note in table.notes)
    if table.notes:
        yield ""


def _lines(report: RunReport) -> Iterator[str]:
    yield f"# {escape(report.recipe)}, seed {report.seed}\n"
    for name, section in report.in_order():
        yield f"## {escape(section.title)}\n"
        yield from _section(name, section)
    yield f"Took {report.seconds} s. aya-core {escape(report.aya_core)}."


def _section(name: str, section: Section) -> Iterator[str]:
    for block in shown(section, "report"):
        yield from _block(block)
    if has_tables(section):
        yield f"All tables, as LaTeX and HTML, too: tables/{escape(file_name(name))}.md, .tex, .html, .json.\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from table_lines(block, "###")
    elif isinstance(block, Picture):
        yield f"![{escape(block.title)}](pictures/{quote(file_name(block.name))}.svg)\n"
    else:
        yield f"**Warning**: {escape(block.text)}\n" if isinstance(block, Alert) else f"{paragraph(block.text)}\n"


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left and the others to the right."""
    yield "| " + " | ".join(map(escape, header)) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(map(escape, row)) + " |"
