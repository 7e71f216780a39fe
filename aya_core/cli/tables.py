"""Tables on the terminal, of which nothing is cut."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table


def print_table(table: Table, console: Console) -> None:
    """Print a table: in a terminal long words are folded; elsewhere nothing is, and lines are as long as they need to be."""
    for column in table.columns:
        column.overflow = "fold"
    if console.is_terminal:
        console.print(table)
    else:
        print_whole(table, console)


def print_whole(table: Table, console: Console) -> None:
    """Print a table as wide as it is."""
    whole = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    wide = console.options.update(width=whole, max_width=whole)
    console.print(Segments(console.render(table, wide)), soft_wrap=True)
