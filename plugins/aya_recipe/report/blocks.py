"""Which blocks of a section are shown where, and what files are called."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from aya_core.api import Block, Level, Metric, Section, Table, visible

PLAIN = Metric()
"""A number without a unit."""

LEVELS: Sequence[Level] = ("brief", "report", "tables")


def shown(section: Section, level: Level) -> list[Block]:
    """The blocks that are shown at a level: those of the levels before, too."""
    return [block for block in section.blocks if LEVELS.index(block.level) <= LEVELS.index(level)]


def folded(section: Section) -> list[Block]:
    """The blocks that only files of tables show open."""
    return [block for block in section.blocks if block.level == "tables"]


def has_tables(section: Section) -> bool:
    """Whether a section has files of tables."""
    return any(isinstance(block, Table) for block in section.blocks)


def table_of(
    rows: Iterable[Sequence[str]], title: str = "", *, level: Level = "report", notes: Sequence[str] = ()
) -> Iterator[Table]:
    """A table of rows, the header first; nothing where there are none."""
    header, *body = list(rows) or [()]
    if header:
        yield Table(header, body, title, notes, level=level)


def number(value: float | None, metric: Metric = PLAIN, digits: int = 3, sign: str = "") -> str:
    """A value of a metric with so many decimals, or nothing where there is none; nothing is less than nothing: -0.0001 is 0.000.

    Shares are in percent, with the same precision. sign: "+" also for what is more than 0.
    """
    if value is None:
        return ""
    return f"{100 * value:{sign}z.{digits - 2}f}" if metric.is_share else f"{value:{sign}z.{digits}f}"


def escape(text: str) -> str:
    """A text as it stands in HTML or SVG: no markup, and no character that XML does not allow."""
    return html.escape(visible(text))
