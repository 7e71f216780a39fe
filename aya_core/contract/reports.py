"""The report of a run as plain data: a section for each stage, made of blocks that every writer of reports can show.

Section("translate: 90 prompts", {"prompts": 90, "failed": 2}, [
    Text("2 of 90 prompts were not translated."),
    Table(("language", "prompts"), [("de", "45"), ("tr", "45")]),
])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import TypeAdapter

Level = Literal["brief", "report", "tables"]
"""Where a block is shown: "brief" at the end of `aya run` and wherever the report is; "report" in `aya report`, `report.md` and
`report.html`; "tables" only in files of tables, and folded in `report.html`."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    level: Level = "report"


@dataclass(frozen=True)
class Alert:
    """A sentence that warns of something."""

    text: str
    level: Level = "brief"


@dataclass(frozen=True)
class Table:
    """A table as text.

    rows: each with a cell for every column; the first column is to the left, the others to the right. controls: more rows, below a
    rule: what the others are compared with. notes: sentences below the table.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    controls: Sequence[Sequence[str]] = ()
    level: Level = "report"


@dataclass(frozen=True)
class Picture:
    """A drawing. name: of its file among all of the run, without an ending. svg: the whole of it; it may not run scripts."""

    name: str
    title: str
    svg: str
    level: Level = "report"


Block = Text | Alert | Table | Picture
"""What a section is made of."""

BLOCKS: Mapping[str, type[Block]] = {"text": Text, "alert": Alert, "table": Table, "picture": Picture}
"""Blocks by what `report.json` calls them."""


@dataclass(frozen=True)
class Section:
    """What a report says of a stage.

    data: all numbers, for `report.json`; JSON can hold it. blocks: the same to be read. is_result: the run is for its numbers, so it
    stands before the other sections.
    """

    title: str
    data: Mapping[str, Any]
    blocks: Sequence[Block] = ()
    is_result: bool = False

    def as_row(self) -> dict[str, Any]:
        """The section as JSON can hold it."""
        kinds = {kind: name for name, kind in BLOCKS.items()}
        blocks = [{"block": kinds[type(block)], **asdict(block)} for block in self.blocks]
        return {"title": self.title, "is_result": self.is_result, "data": self.data, "blocks": blocks}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Section:
        """Read what `as_row` gave. Raises TypeError, KeyError or ValueError for anything else."""
        blocks = [dict(block) for block in row["blocks"]]
        made = [TypeAdapter(BLOCKS[block.pop("block")]).validate_python(block) for block in blocks]
        return cls(str(row["title"]), dict(row["data"]), made, bool(row["is_result"]))


@dataclass(frozen=True)
class RunReport:
    """The report of a run.

    seconds: spent by all runs; stage_seconds: by the steps of each stage. steps: which artifact stands for each step, by its
    fingerprint. sections: by stage, in the order of the recipe; what has nothing to say is left out. kept: stages whose section is not
    made now but taken from the report that was there, as no plugin was at hand to make it.
    """

    recipe: str
    seed: int
    aya_core: str
    seconds: float
    stage_seconds: Mapping[str, float]
    steps: Mapping[str, str]
    sections: Mapping[str, Section]
    kept: frozenset[str] = field(default_factory=frozenset)

    def in_order(self) -> Sequence[tuple[str, Section]]:
        """Sections with results first, the last of them leading; then the others."""
        results = [(name, section) for name, section in self.sections.items() if section.is_result]
        others = [(name, section) for name, section in self.sections.items() if not section.is_result]
        return [*reversed(results), *others]


class Reporter(Protocol):
    """Writes and shows reports. It knows blocks, and no stage."""

    def write(self, report: RunReport, folder: Path) -> None:
        """Write the report into the run folder, beside `report.json`, which is written already."""

    def show(self, report: RunReport, console: Any, *, whole: bool = False) -> None:
        """Print the report on a `rich` console. whole: what is of level "report", too."""
