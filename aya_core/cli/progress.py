"""Progress in the terminal: an observer like any other, registered by `aya run`."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from aya_core.cli.amounts import counted, duration
from aya_core.cli.terminal import TextConsole
from aya_core.contract.stage import Action
from aya_core.hookspecs import hookimpl
from aya_core.planning.reading import language_sentences

MEASURES = 3
"""How many measures of a node fit a line, where nobody knows which of them matter."""


@dataclass
class AtWork:
    """A node at work. name: of what it does. first, last: when it reported for the first and the last time, and what was done then."""

    name: str
    action: Action | None
    started: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] = (0.0, 0)
    total: int = 0
    measures: dict[str, float] = field(default_factory=dict)

    def report(self, now: float, done: int, total: int, measures: Mapping[str, float]) -> None:
        """Take a report. Measures that it does not name stay as they were."""
        if self.first is None or not self.total:  # work of unknown length before, such as a reference that is scored
            self.first = (now, done)
        self.last, self.total = (now, done), total
        self.measures = {**self.measures, **measures}  # a new one: the terminal reads the old one in a thread

    def seconds_left(self, now: float) -> float | None:
        """How long it will take at the pace so far, without what a killed run had done; None while nobody knows."""
        if self.first is None or not self.total:
            return None
        (began, before), (reported, done) = self.first, self.last
        if done == before:  # one report: what was done is taken to be of this run
            began, before = self.started, 0
        if done == before:
            return None
        return max(0.0, (reported - began) * (self.total - done) / (done - before) - (now - reported))

    def per_second(self) -> float | None:
        """At what pace it was done since the first report; None while nobody knows."""
        if self.first is None:
            return None
        (began, before), (reported, done) = self.first, self.last
        if done == before:
            began, before = self.started, 0
        return (done - before) / (reported - began) if done > before and reported > began else None

    def described(self, now: float, *, with_pace: bool = False) -> str:
        """Say how it goes. with_pace: also how many a second, and which share is done."""
        phrases = phrases_of(self.action, self.measures)
        if self.total:
            left = self.seconds_left(now)
            when = "" if left is None else f", {duration(left)} left"
            share, pace = "", ""
            if with_pace:
                share = f" ({100 * self.last[1] / self.total:.0f}%)"
                speed = self.per_second()
                pace = "" if speed is None else f", {speed:,.3g}/s" if speed < 1000 else f", {speed:,.0f}/s"
            phrases.insert(0, f"{self.last[1]:,}/{self.total:,}{share}{pace}{when}")
        return ", ".join(phrases)


def phrases_of(action: Action | None, measures: Mapping[str, Any]) -> list[str]:
    """The measures that are told: in the action's own words, or else the first few."""
    if action is not None and action.phrases is not None and (described := action.phrases(measures)):
        return list(described)
    numbers = {name: value for name, value in measures.items() if isinstance(value, (int, float))}
    return [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in list(numbers.items())[:MEASURES]
    ]


def unanswered(measures: Mapping[str, Any]) -> list[str]:
    """Why prompts of a step have no answer, a sentence for each of the commonest reasons."""
    by_reason: dict[str, dict[str, int]] = {}
    for row in measures.get("unanswered_because", ()):
        by_reason.setdefault(row["reason"], {})[row["language"]] = row["count"]
    told = [
        f"{counted(sum(languages.values()), 'prompt')} not answered: {reason} ({', '.join(f'{code} {n}' for code, n in languages.items())})"
        for reason, languages in list(by_reason.items())[:MEASURES]
    ]
    others = [sum(languages.values()) for languages in list(by_reason.values())[MEASURES:]]
    return [*told, f"{sum(others)} more not answered, for {counted(len(others), 'other reason')}"] if others else told


EVERY_SECONDS = 60.0
"""How often a step at work is told of where there is no terminal."""


class Progress:
    """A live line for each node at work. Where the output is not a terminal, a line a minute for each, and one for each that is finished.

    total: steps. actions: what they do, by name, for their words. every_seconds: how often lines are written without a terminal.
    """

    def __init__(
        self, total: int, actions: Mapping[str, Action], *, quiet: bool = False, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self.actions = actions
        self.console = TextConsole(stderr=True, quiet=quiet)
        self.total = total
        self.done = 0
        self.reused = 0
        self.reasons: set[str] = set()
        self.at_work: dict[str, AtWork] = {}
        self.started = time.monotonic()
        self.live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self._lines)
        self.ended = threading.Event()
        self.ticker = threading.Thread(target=self._tick, args=(every_seconds,), daemon=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        elif not self.console.quiet:
            self.ticker.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live.is_started:
            self.live.stop()
        if self.ticker.is_alive():
            self.ended.set()
            self.ticker.join()
        if self.reused:
            self.console.print(f"{self.reused} of {self.total} steps stood already and were reused")

    @hookimpl
    def aya_step_started(self, node: str, action: str, inputs: Mapping[str, Path]) -> None:
        """Open a line."""
        self.at_work[node] = AtWork(action, self.actions.get(action), time.monotonic())

    @hookimpl
    def aya_progress(self, node: str, done: int, total: int, measures: Mapping[str, float]) -> None:
        """Write what the node says of itself."""
        self.at_work[node].report(time.monotonic(), done, total, measures)

    @hookimpl
    def aya_step_finished(
        self, node: str, artifact: Path, seconds: float, reused: bool, measures: Mapping[str, Any]
    ) -> None:
        """Close the line."""
        self.done += 1
        at_work = self.at_work.pop(node, None)
        for sentence in language_sentences(measures):
            self.console.print(f"{node}: {sentence}", style="yellow", soft_wrap=True)
        if reused:
            self.reused += 1
            return
        described = phrases_of(at_work.action if at_work else None, measures)
        clock = self._clock()
        self._print(
            (f"{clock}  {self.done:3d}/{self.total}", "dim"),
            f"  {node}  ",
            (f"{seconds:.1f} s  {', '.join(described)}", "dim"),
        )
        for sentence in unanswered(measures):
            self._print((clock, "dim"), "  ", (f"{node}: {sentence}", "yellow"))

    @hookimpl
    def aya_step_skipped(self, node: str, fallback: str, why: str | None) -> None:
        """Say once why nodes are not done."""
        self.done += 1
        if why is not None and why not in self.reasons:
            self.reasons.add(why)
            self._print((self._clock(), "dim"), "  ", (why, "yellow"))

    @hookimpl
    def aya_step_failed(self, node: str, message: str) -> None:
        """Say so at once, and which other steps go on, maybe for hours."""
        self.at_work.pop(node, None)
        others = f"; at work still: {', '.join(self.at_work)}" if self.at_work else ""
        self._print((f"{node} failed", "red"), others)

    def _clock(self) -> str:
        return f"{time.monotonic() - self.started:6.1f} s"

    def _print(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of texts, each plain or with its style."""
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    def _tick(self, every_seconds: float) -> None:
        """Tell of the nodes at work every so often, until the run ends."""
        while not self.ended.wait(every_seconds):
            self.tell(every_seconds)

    def tell(self, least_seconds: float) -> None:
        """Write a line for each node that has been at work for so long."""
        now = time.monotonic()
        for node, at_work in list(self.at_work.items()):
            if now - at_work.started >= least_seconds:
                described = (
                    at_work.described(now, with_pace=True)
                    or f"{at_work.name}, {duration(now - at_work.started)} so far"
                )
                self._print((self._clock(), "dim"), f"  {node}  {described}")

    def _lines(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for node, at_work in list(self.at_work.items()):
            table.add_row(Text(node, "bold"), at_work.name, duration(now - at_work.started), at_work.described(now))
        return table
