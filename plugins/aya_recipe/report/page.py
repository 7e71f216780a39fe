"""The report as one HTML page without scripts: a part for each section, its tables folded behind it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from aya_core.api import Alert, Block, Picture, RunReport, Section, Table, file_name
from aya_recipe.report.blocks import escape, folded, has_tables, shown

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } .quiet { opacity: .7; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.control td { opacity: .75; font-style: italic; }
svg, img { max-width: 100%; height: auto; }
details { margin-top: 1rem; }
"""


def page(report: RunReport) -> str:
    """Write the whole report as HTML."""
    return _whole(f"{report.recipe}, seed {report.seed}", _body(report))


def tables_page(section: Section, *, is_kept: bool) -> str:
    """Write the tables and pictures of a section as HTML. is_kept: see `RunReport`."""
    return _whole(section.title, _blocks(section.blocks, is_kept))


def _whole(title: str, lines: Iterator[str]) -> str:
    title, body = escape(title), "\n".join(lines)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><body><h1>{title}</h1>\n{body}</body></html>\n"
    )


def _body(report: RunReport) -> Iterator[str]:
    yield f'<p class="quiet">aya-core {escape(report.aya_core)}, {report.seconds} s</p>'
    for name, section in report.in_order():
        yield f"<h2>{escape(section.title)}</h2>"
        yield from _blocks(shown(section, "report"), name in report.kept)
        if more := folded(section):
            yield "<details><summary>More tables and figures</summary>"
            yield from _blocks(more, name in report.kept)
            yield "</details>"
        if has_tables(section):
            yield f'<p class="quiet"><a href="tables/{quote(file_name(name))}.html">Tables</a>, also as .md, .tex and .json</p>'


def _blocks(blocks: Sequence[Block], is_kept: bool) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Table):
            yield from _table(block)
        elif isinstance(block, Picture):
            yield _image(block) if is_kept else block.svg
        else:
            text = escape(block.text)
            yield f"<p><b>{text}</b></p>" if isinstance(block, Alert) else f"<p>{text}</p>"


def _image(picture: Picture) -> str:
    """A picture that came with the folder: as an image, in which no script runs."""
    data = b64encode(picture.svg.encode()).decode()
    return f'<img alt="{escape(picture.title)}" src="data:image/svg+xml;base64,{data}">'


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"<h3>{escape(table.title)}</h3>"
    yield "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in table.header) + "</tr>"
    for row in table.rows:
        yield "<tr>" + _cells(row)
    for row in table.controls:
        yield '<tr class="control">' + _cells(row)
    yield "</table>"
    if table.notes:
        yield f'<ul class="quiet">{"".join(f"<li>{escape(note)}</li>" for note in table.notes)}</ul>'


def _cells(row: Sequence[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
