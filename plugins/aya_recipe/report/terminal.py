"""Sections of a report in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich import table as rich
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text as RichText

from aya_core.api import Alert, Block, Level, Section, Table, Text, print_whole
from aya_recipe.report.blocks import shown

NARROWEST = 8
"""Letters of names in the first column, below which it is not folded."""

LONGEST = 12
"""Letters of a word in the header, beyond which it is folded as well."""

BETWEEN = 2
"""Columns of the terminal that the space around a cell takes."""


def show(name: str, section: Section, console: Console, level: Level) -> None:
    """Print the blocks of a section that are shown at a level, but for pictures."""
    for block in shown(section, level):
        _show(name, block, console)


def show_table(table: Table, console: Console) -> None:
    """Print a table with its notes.

    In a terminal, names are folded so that it fits, never numbers; where that is not enough, it is printed in parts. Elsewhere nothing
    is folded or cut, and lines are as long as they need to be.
    """
    if table.title:
        console.print(RichText(table.title, "italic"), soft_wrap=True)
    header, *body = [[cell.replace(" ± ", "±") for cell in row] for row in (table.header, *table.rows, *table.controls)]
    parts = list(_parts(header, body, console.width)) if console.is_terminal else [(header, body)]
    for names, rows in parts:
        drawn = rich.Table(box=SIMPLE_HEAD, padding=(0, BETWEEN - 1, 0, 0))
        for index, column in enumerate(names):
            drawn.add_column(RichText(column), justify="left" if index == 0 else "right", no_wrap=True)
        for number, row in enumerate(rows):
            if number == len(table.rows):
                drawn.add_section()
            drawn.add_row(*map(RichText, row), style="dim" if number >= len(table.rows) else None)
        print_whole(drawn, console)
    for note in table.notes:
        console.print(RichText(note, "dim"), soft_wrap=True)


def _show(name: str, block: Block, console: Console) -> None:
    if isinstance(block, Table):
        show_table(block, console)
    elif isinstance(block, Text):
        console.print(RichText.assemble((name, "bold"), ": ", block.text), soft_wrap=True)
    elif isinstance(block, Alert):
        console.print(RichText.assemble(("warning", "yellow"), f": {name}: {block.text}"), soft_wrap=True)


def _parts(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Fold names, and part the columns where the table is still too wide; each part has the first column."""
    columns = list(zip(header, *rows, strict=True))[1:]
    widths = [max([min(_longest_word(name), LONGEST), *map(len, cells)]) for name, *cells in columns]
    longest = max(len(row[0]) for row in (header, *rows))
    start = 0
    while True:
        first = min(longest, max(NARROWEST, width - BETWEEN - sum(own + BETWEEN for own in widths[start:])))
        end, room = start, width - BETWEEN - first
        while end < len(widths) and (end == start or room >= widths[end] + BETWEEN):
            room -= widths[end] + BETWEEN
            end += 1
        names = [_folded(header[0], first)]
        names += [_folded(header[1 + place], widths[place]) for place in range(start, end)]
        yield names, [[_folded(row[0], first), *row[1 + start : 1 + end]] for row in rows]
        start = end
        if start >= len(widths):
            return


def _longest_word(name: str) -> int:
    return max(map(len, name.replace("-", "- ").split(" ")))


def _folded(name: str, width: int) -> str:
    """A name in lines of a width, parted at spaces and hyphens where it has some."""
    return "\n".join(wrap(name, width)) if len(name) > width else name
