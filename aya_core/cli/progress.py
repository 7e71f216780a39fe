"""Progress in the terminal: an observer like any other, registered by `aya run`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from aya_core.hookspecs import hookimpl

MEASURES = 3
"""How many measures of a node fit a line."""


class Progress:
    """A live line for each node at work; a line for each finished one where the output is not a terminal."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.total = total
        self.done = 0
        self.reused = 0
        self.at_work: dict[str, tuple[float, str, str]] = {}
        self.started = time.monotonic()
        self.live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self._lines)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live.is_started:
            self.live.stop()
        if self.reused:
            self.console.print(f"{self.reused} of {self.total} steps stood already and were reused")

    @hookimpl
    def aya_stage_started(self, node: str, action: str, inputs: Mapping[str, Path]) -> None:
        """Open a line."""
        self.at_work[node] = (time.monotonic(), action, "")

    @hookimpl
    def aya_progress(self, node: str, done: int, total: int, measures: Mapping[str, float]) -> None:
        """Write what the node says of itself."""
        started, action, _ = self.at_work[node]
        told = [f"{name} {value:.4g}" for name, value in list(measures.items())[:MEASURES]]
        if total:
            left = (time.monotonic() - started) * (total - done) / max(done, 1)
            told.insert(0, f"{done}/{total}, {left:.0f} s left")
        self.at_work[node] = (started, action, ", ".join(told))

    @hookimpl
    def aya_stage_finished(
        self, node: str, artifact: Path, seconds: float, reused: bool, measures: Mapping[str, Any]
    ) -> None:
        """Close the line."""
        self.done += 1
        self.at_work.pop(node, None)
        if reused:
            self.reused += 1
            return
        told = [
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in measures.items()
            if isinstance(value, (int, float))
        ]
        clock = time.monotonic() - self.started
        self.console.print(
            f"[dim]{clock:6.1f} s  {self.done:3d}/{self.total}[/dim]  {node}  [dim]{seconds:.1f} s  {', '.join(told[:MEASURES])}[/dim]",
            soft_wrap=True,
        )

    @hookimpl
    def aya_stage_failed(self, node: str, message: str) -> None:
        """Say so at once; the others of a pool may go on for hours."""
        self.at_work.pop(node, None)
        self.console.print(
            f"[red]{node} failed[/red]; what others had begun, and the other teachers, go on", soft_wrap=True
        )

    def _lines(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for node, (started, action, told) in self.at_work.items():
            table.add_row(f"[bold]{node}[/bold]", action, f"{time.monotonic() - started:.0f} s", told)
        return table
