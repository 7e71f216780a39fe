"""Tables of the core's commands: nothing of them is cut."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from aya_core.cli.tables import print_table

NAME = "a-name-of-a-stage-that-is-longer-than-the-terminal-is-wide"


def printed(width, *, terminal):
    table = Table("stage", "done")
    table.add_row(NAME, "12/34")
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    print_table(table, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80])
def test_nothing_is_folded_where_it_is_no_terminal(width):
    (line,) = [line for line in printed(width, terminal=False).splitlines() if NAME in line]
    assert "12/34" in line


@pytest.mark.parametrize("width", [30, 40])
def test_a_name_is_folded_in_a_terminal_and_not_cut(width):
    output = printed(width, terminal=True)
    assert "…" not in output
    assert "12/34" in output
    letters = "".join(line.split("│")[1].strip() for line in output.splitlines() if line.startswith("│"))
    assert letters == NAME
