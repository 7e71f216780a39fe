"""The report's main table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table

from aya_core.report import rounds, tables
from aya_core.report.markdown import COLUMNS, account_table, cells, details_table, summary, wins_table
from aya_core.report.search import sentences
from aya_core.report.tables import all_tables, models_by_tasks, sets
from aya_core.report.training import gains_table, held_out_table, rows_told


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


def show_account(name: str, account: Mapping[str, Any], console: Console) -> None:
    """Print what came of an arbitrage: who answered, was scored and won, and where."""
    console.print(f"[bold]{name}[/bold]: {summary(account)}", soft_wrap=True)
    _table("Margins are over the best answer of another teacher, on the prompts won", account_table(account), console)
    _table("The arbiter's details", details_table(account), console)
    _table("Prompts won, %, by language", wins_table(account), console)
    show_warnings(name, account, console)


def show_warnings(name: str, account: Mapping[str, Any], console: Console) -> None:
    """Print what an arbitrage warns of."""
    for warning in account["warnings"]:
        console.print(f"[yellow]warning[/yellow]: {name}: {warning}", soft_wrap=True)


def show_tables(report: Mapping[str, Any], console: Console, *, whole: bool = False) -> None:
    """Print models by tasks, where there is more than one task. whole: always, and every other table, too."""
    for _, stages in sets(report["tables"]):
        for table in all_tables(stages) if whole else (models_by_tasks(stages),):
            if whole:
                show_table(table, console)
            elif len(table.header) > 2:
                _table(table.title, iter([table.header, *table.rows]), console)


def show_table(table: tables.Table, console: Console) -> None:
    """Print a table of an evaluation with its notes."""
    _table(escape(table.title), iter([list(map(escape, row)) for row in (table.header, *table.rows)]), console)
    for note in table.notes:
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True, highlight=False)


def show_searches(report: Mapping[str, Any], console: Console) -> None:
    """Print what each search found."""
    for name, account in report["search"].items():
        console.print(f"[bold]{name}[/bold]: {escape(sentences(account))}", soft_wrap=True)


def show_rounds(report: Mapping[str, Any], console: Console, *, whole: bool = False) -> None:
    """Print which online stages a guard ended. whole: the rounds of each stage, too."""
    for name, account in report["online"].items():
        if whole or account["ended"] is not None:
            console.print(f"[bold]{name}[/bold]: {escape(rounds.sentences(account))}", soft_wrap=True, highlight=False)
        if whole:
            _table("Rounds; what guards measured is the mean over languages", rounds.table(account), console)


def _table(title: str, rows: Iterator[Sequence[str]], console: Console) -> None:
    header = next(rows, None)
    if header is None:
        return
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    whole = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    wide = console.options.update(width=whole, max_width=whole)  # a narrow terminal wraps lines, but no number is cut
    console.print(Segments(console.render(table, wide)), soft_wrap=True)


def show_training(accounts: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print what training gained: measures from the first report to the last, held-out ones by language, rows and speed."""
    _table("", gains_table(accounts), console)
    _table("", held_out_table(accounts), console)
    for node, account in accounts.items():
        console.print(f"{node}: {'; '.join(rows_told(account))}", soft_wrap=True, markup=False)
