"""What earlier runs of a node had done already, also where they were killed: their rows, by the key of the item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from aya_core.artifacts import MANIFEST, PAYLOAD, is_whole, load, read_rows
from aya_core.seen import temporary_database
from aya_core.stages.journal import Journal
from aya_core.stages.keyed import ITEM, keyed


@dataclass(frozen=True, slots=True)
class _Item:
    """The key of a row alone."""

    item: int

    columns: ClassVar[Mapping[str, str]] = {ITEM: "int"}

    def to_values(self) -> Sequence[Any]:
        return (self.item,)

    @classmethod
    def from_values(cls, *values: Any) -> _Item:
        return cls(*values)


class Earlier:
    """The rows of other folders of the same node that were made by the same engine, settings and seed.

    partial: the node's own folder. part: of the payload. Memory stays bounded: which file holds an item stands in a
    temporary database.
    """

    def __init__(self, partial: Path, part: str, made_by: str, record: type[Any]) -> None:
        self._partial = partial
        self._part = part
        self._made_by = made_by
        self._record = record

    def take(self, keys: Sequence[int]) -> dict[int, Sequence[Any]]:
        """Find the rows of these items."""
        if not self._files or not keys:
            return {}
        wanted: dict[int, set[int]] = {}
        for key in keys:
            for (file,) in self._index.execute("SELECT file FROM items WHERE item = ?", (key,)):
                wanted.setdefault(file, set()).add(key)
        found: dict[int, Sequence[Any]] = {}
        for file, inside in sorted(wanted.items()):
            for key, rows in self._rows(self._files[file]):
                if key in inside:
                    found[key] = rows
        return found

    @cached_property
    def _files(self) -> list[Path]:
        found: list[Path] = []
        for folder in sorted(self._partial.parent.iterdir()):
            if folder == self._partial or not folder.is_dir():
                continue
            if (folder / MANIFEST).is_file():
                made_by = load(folder).measures.get("made_by")
            else:
                note = folder / "work" / "made_by"
                made_by = note.read_text() if note.is_file() else None
            if made_by == self._made_by:
                shards = sorted((folder / PAYLOAD / self._part).glob("*.parquet"))
                found += filter(is_whole, shards)
                found += sorted((folder / "work").glob(f"{self._part or 'journal'}-*.jsonl"))
        return found

    @cached_property
    def _index(self) -> Any:
        index = temporary_database()
        index.execute("CREATE TABLE items (item INTEGER PRIMARY KEY, file INTEGER)")
        for number, file in enumerate(self._files):
            if file.suffix == ".jsonl":
                keys: Iterable[int] = Journal(file, self._record).read()
            else:
                keys = (row.item for row in read_rows(file, _Item))
            index.executemany("INSERT OR IGNORE INTO items VALUES (?, ?)", ((key, number) for key in keys))
        return index

    def _rows(self, file: Path) -> Iterator[tuple[int, Sequence[Any]]]:
        if file.suffix == ".jsonl":
            yield from Journal(file, self._record).read().items()
            return
        for key, rows in groupby(read_rows(file, keyed(self._record)), lambda row: int(row.item)):
            yield key, [row.row for row in rows]
