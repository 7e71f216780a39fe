"""What earlier runs of a node had done already, also where they were killed: their rows, by the key of the item."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from aya_core.artifacts import MANIFEST, PAYLOAD, load, read_rows
from aya_core.errors import ArtifactError, DataError
from aya_core.seen import temporary_database
from aya_core.stages.journal import Journal, journal_files
from aya_core.stages.keyed import keyed


class Earlier:
    """The rows of other folders of the same node that were made by the same engine, settings and seed.

    partial: the node's own folder. part: of the payload. stands: whether the rows of an item are all that is wanted of it.
    They are copied to a temporary database when they are first looked for, so that memory stays bounded and their order
    does not matter. Newer folders go before older ones, and rows that stand before those that do not.
    """

    def __init__(
        self, partial: Path, part: str, made_by: str, record: type[Any], stands: Callable[[Sequence[Any]], bool]
    ) -> None:
        self._partial = partial
        self._part = part
        self._made_by = made_by
        self._record = record
        self._stands = stands

    def take(self, keys: Sequence[int]) -> tuple[dict[int, Sequence[Any]], dict[int, Sequence[Any]]]:
        """Find the rows of these items: those that stand, and those that will do where nothing better comes."""
        standing: dict[int, Sequence[Any]] = {}
        incomplete: dict[int, Sequence[Any]] = {}
        if self._folders:
            for key in keys:
                for rows, stands in self._items.execute("SELECT rows, stands FROM items WHERE item = ?", (key,)):
                    (standing if stands else incomplete)[key] = [
                        self._record.from_values(*row) for row in json.loads(rows)
                    ]
        return standing, incomplete

    @cached_property
    def _folders(self) -> list[Path]:
        """The folders that count, newest first."""
        found = []
        for folder in self._partial.parent.iterdir():
            if folder != self._partial and folder.is_dir() and _made_by(folder) == self._made_by:
                found.append(folder)
        return sorted(found, key=lambda folder: (-folder.stat().st_mtime_ns, folder.name))

    @cached_property
    def _items(self) -> Any:
        database = temporary_database()
        database.execute("CREATE TABLE items (item INTEGER PRIMARY KEY, rows TEXT, stands INTEGER)")
        add = (
            "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT (item) DO UPDATE SET rows = excluded.rows, stands = 1 "
            "WHERE stands = 0 AND excluded.stands = 1"
        )
        for folder in self._folders:
            for key, rows in self._rows(folder):
                told = json.dumps([row.to_values() for row in rows])
                database.execute(add, (key, told, int(self._stands(rows))))
        return database

    def _rows(self, folder: Path) -> Iterator[tuple[int, Sequence[Any]]]:
        for shard in sorted((folder / PAYLOAD / self._part).glob("*.parquet")):
            try:
                for key, rows in groupby(read_rows(shard, keyed(self._record)), lambda row: int(row.item)):
                    yield key, [row.row for row in rows]
            except DataError as error:  # another run's file, which this one can do without
                print(f"not taken over: {error}", file=sys.stderr)
        for journal in journal_files(folder / "work", self._part):
            yield from Journal(journal, self._record).read().items()


def _made_by(folder: Path) -> str | None:
    """What made the rows of a folder, finished or not; None where it does not say."""
    if (folder / MANIFEST).is_file():
        try:
            told = load(folder).measures.get("made_by")
        except ArtifactError:
            return None
        return None if told is None else str(told)
    note = folder / "work" / "made_by"
    return note.read_text() if note.is_file() else None
