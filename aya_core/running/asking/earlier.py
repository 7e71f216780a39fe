"""What earlier runs of a node had done already, also where they were killed: their rows, by the key of the item."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from aya_core.contract.artifacts import PAYLOAD, read_rows
from aya_core.contract.errors import DamageError, DataError
from aya_core.contract.seen import temporary_database
from aya_core.running.asking.asked import Asked, asked_in
from aya_core.running.asking.journal import RowJournal, journal_files
from aya_core.running.asking.keyed import keyed
from aya_core.running.asking.sealed import SealedShards


class Earlier:
    """The rows of other folders of the same node in which the same was asked, and answered by the same code.

    partial: the node's own folder. part: of the payload. keep: whether other code will do, too. stands: whether the rows of
    an item are all that is wanted of it. They are copied to a temporary database when they are first looked for, so that
    memory stays bounded and their order does not matter. Newer folders go before older ones, those of the same code
    before all, and rows that stand before those that do not.
    """

    def __init__(
        self, partial: Path, part: str, asked: Asked, record: type[Any], stands: Callable[[Sequence[Any]], bool],
        *, keep: bool = False,
    ) -> None:  # fmt: skip
        self._partial = partial
        self._part = part
        self._asked = asked
        self._keep = keep
        self._record = record
        self._stands = stands
        self.kept: Counter[str] = Counter()
        """Items taken over that other code answered, by that code."""

    def take(self, keys: Sequence[int]) -> tuple[dict[int, Sequence[Any]], dict[int, Sequence[Any]]]:
        """Find the rows of these items: those that stand, and those that will do where nothing better comes."""
        standing: dict[int, Sequence[Any]] = {}
        incomplete: dict[int, Sequence[Any]] = {}
        if self._folders:
            for key in keys:
                for rows, stands, code in self._items.execute(
                    "SELECT rows, stands, code FROM items WHERE key = ?", (key,)
                ):
                    if code is not None:
                        self.kept[code] += 1
                    (standing if stands else incomplete)[key] = [
                        self._record.from_values(*row) for row in json.loads(rows)
                    ]
        return standing, incomplete

    @cached_property
    def _folders(self) -> list[tuple[Path, str | None]]:
        """The folders that count, with the code that answered where it is another: those of the same code first, newest first."""
        found: list[tuple[Path, str | None]] = []
        for folder in self._partial.parent.iterdir():
            if folder != self._partial and folder.is_dir():
                asked = asked_in(folder)
                if asked is not None and asked.question == self._asked.question:
                    is_same = asked.code == self._asked.code
                    if is_same or self._keep:
                        found.append((folder, None if is_same else _said(asked.code)))
        return sorted(found, key=lambda one: (one[1] is not None, -one[0].stat().st_mtime_ns, one[0].name))

    @cached_property
    def _items(self) -> Any:
        database = temporary_database()
        database.execute("CREATE TABLE items (key INTEGER PRIMARY KEY, rows TEXT, stands INTEGER, code TEXT)")
        add = (
            "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET rows = excluded.rows, stands = 1, code = excluded.code "
            "WHERE stands = 0 AND excluded.stands = 1"
        )
        for folder, code in self._folders:
            for key, rows in self._rows(folder):
                told = json.dumps([row.to_values() for row in rows])
                database.execute(add, (key, told, int(self._stands(rows)), code))
        return database

    def _rows(self, folder: Path) -> Iterator[tuple[int, Sequence[Any]]]:
        shards = SealedShards.of(folder, self._part)
        for shard in sorted((folder / PAYLOAD / self._part).glob("*.parquet")):
            try:
                shards.check(shard)
                for key, rows in groupby(read_rows(shard, keyed(self._record)), lambda row: int(row.key)):
                    yield key, [row.row for row in rows]
            except (DataError, DamageError) as error:  # another run's file, which this one can do without
                print(f"not taken over: {error}", file=sys.stderr)
        for journal in journal_files(folder / "work", self._part):
            yield from RowJournal(journal, self._record).read().items()


def _said(code: Mapping[str, str]) -> str:
    return ", ".join(f"{label} {identity}" for label, identity in sorted(code.items()))
