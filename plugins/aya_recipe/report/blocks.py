"""Which blocks of a section are shown where, and what files are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from aya_core.api import Block, Level, Section, Table

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


def table_of(rows: Iterable[Sequence[str]], title: str = "", *, level: Level = "report") -> Iterator[Table]:
    """A table of rows, the header first; nothing where there are none."""
    header, *body = list(rows) or [()]
    if header:
        yield Table(header, body, title, level=level)


def number(value: float | None) -> str:
    """Three decimals, or nothing where there is no value."""
    return "" if value is None else f"{value:z.3f}"


def file_name(name: str) -> str:
    """A name as that of a file; models that are named by their path have slashes."""
    return name.replace("/", "--")
