"""Rows that an engine gave, kept so that it is asked for none of them twice.

While a chunk is asked about, its rows lie in a journal; then they are a shard of the payload, with the key of its item in each row. The
hash of a shard lies beside the payload until the artifact's manifest has it. Later runs of the step take the rows over from both.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from aya_core.contract.artifacts import MANIFEST, PAYLOAD, load, read_rows
from aya_core.contract.errors import DamageError, DataError
from aya_core.contract.hashes import file_hash
from aya_core.contract.id_set import temporary_database
from aya_core.contract.journal import Journal
from aya_core.running.asking.asked import Asked, asked_in
from aya_core.running.work import SCRATCH

KEY = "key"
"""The column that holds the key."""

PATIENCE_SECONDS = 0.5
"""Chunks that are done within this time are not written to a journal: doing them again costs less."""


def with_key(record: type[Any]) -> Any:
    """The record of a kind of row with one more column, the key of its item."""
    any_record: Any = record
    return _with_key(any_record)


@cache
def _with_key(record: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class RowWithKey:
        row: Any
        key: int

        columns: ClassVar[Mapping[str, str]] = {**record.columns, KEY: "int"}
        defaults: ClassVar[Mapping[str, Any]] = record.defaults
        rare: ClassVar[frozenset[str]] = record.rare

        @property
        def is_rare(self) -> bool:
            return bool(self.row.is_rare)

        def to_values(self) -> Sequence[Any]:
            return *self.row.to_values(), self.key

        @classmethod
        def from_values(cls, *values: Any) -> RowWithKey:
            return cls(record.from_values(*values[:-1]), values[-1])

    return RowWithKey


def journal_file(scratch: Path, subfolder: str, shard: str) -> Path:
    """Where the journal of a shard lies."""
    return scratch / f"journal-{subfolder}-{shard}.jsonl"


def journal_files(scratch: Path, subfolder: str) -> list[Path]:
    """The journals of all shards of a subfolder."""
    return sorted(scratch.glob(journal_file(Path(), subfolder, "*").name))


def fits(value: Any, kind: str) -> bool:
    """Whether a column of a kind can hold a value."""
    if value is None:
        return True
    if kind in ("strings", "messages"):
        inner = "string" if kind == "strings" else "message"
        return isinstance(value, (list, tuple)) and all(one is not None and fits(one, inner) for one in value)
    if kind == "message":
        return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in ("role", "content"))
    if kind == "string":
        return isinstance(value, str)
    number = int if kind == "int" else (int, float)
    return isinstance(value, number) and not isinstance(value, bool) and -(2**63) <= value < 2**63


class RowJournal:
    """The rows of each item by its key, in a journal that begins when a chunk has taken a while.

    damaged: lines that were not what was written, whose items are asked about again.
    """

    def __init__(self, path: Path, record: type[Any]) -> None:
        self.damaged = 0
        self._path = path
        self._journal = Journal(path)
        self._record = record
        self._started = time.monotonic()
        self._waiting: list[tuple[int, Sequence[Any]]] = []

    def read(self) -> dict[int, Sequence[Any]]:
        """The rows of each item written so far."""
        found: dict[int, Sequence[Any]] = {}
        known = self._journal.read()
        self.damaged = self._journal.damaged
        for key, rows in known.items():
            try:
                found[key] = [self._row(row) for row in rows]
            except (
                TypeError,
                ValueError,
                LookupError,
                AttributeError,
            ) as error:  # of another version, with other columns
                self.damaged += 1
                print(f"{self._path}: rows that cannot be read ({error}); they are asked for again", file=sys.stderr)
        return found

    def _row(self, values: Sequence[Any]) -> Any:
        row = self._record.from_values(*values)
        for (name, kind), value in zip(self._record.columns.items(), row.to_values(), strict=True):
            if not fits(value, kind):
                raise TypeError(f"'{name}' is {value!r:.50}, no {kind}")
        return row

    def write(self, key: int, rows: Sequence[Any]) -> None:
        """Add an item. It survives a kill of the process as soon as this returns, half a second into the chunk."""
        self._waiting.append((key, rows))
        if time.monotonic() - self._started >= PATIENCE_SECONDS:
            self._journal.write((key, [row.to_values() for row in rows]) for key, rows in self._waiting)
            self._waiting.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()

    def remove(self) -> None:
        """Delete the file; what it held stands in a shard."""
        self._journal.remove()


class SealedShards:
    """The hashes of the shards in one subfolder of an artifact. known: by file name. journal: where new ones are added."""

    def __init__(self, known: Mapping[str, str], journal: Journal) -> None:
        self._known = dict(known)
        self._journal = journal

    @classmethod
    def of(cls, folder: Path, subfolder: str) -> SealedShards:
        """Read the hashes of an artifact's shards from its manifest, or where it is not finished from its journal.

        folder: of the artifact. Raises ArtifactError for a damaged manifest.
        """
        journal = Journal(folder / SCRATCH / f"shards-{subfolder}.jsonl")
        if (folder / MANIFEST).is_file():
            within = Path(PAYLOAD, subfolder)
            files = {Path(PAYLOAD, name): entry["sha256"] for name, entry in load(folder).files.items()}
            return cls({path.name: digest for path, digest in files.items() if path.parent == within}, journal)
        return cls(journal.read(), journal)

    def check(self, shard: Path) -> None:
        """Raise DamageError for a shard that is not what was sealed."""
        if shard.name not in self._known:
            raise DamageError(f"{shard}: the hash of what was written is lost")
        if file_hash(shard) != self._known[shard.name]:
            raise DamageError(f"{shard}: damaged: its bytes are not those that were written")

    def seal(self, name: str, file: Path) -> None:
        """Take down the hash of a shard that is written and has not its name yet: one that has it is always known."""
        self._known[name] = file_hash(file)
        self._journal.write([(name, self._known[name])])
        self._journal.close()


class ReusableRows:
    """The rows of other folders of the same node in which the same was asked, and answered by the same code.

    partial: the node's own folder. subfolder: of the payload. keep: whether other code will do, too. stands: whether the rows of
    an item are all that is wanted of it. They are copied to a temporary database when they are first looked for, so that
    memory stays bounded and their order does not matter. Newer folders go before older ones, those of the same code
    before all, and rows that stand before those that do not.
    """

    def __init__(
        self, partial: Path, subfolder: str, asked: Asked, record: type[Any], stands: Callable[[Sequence[Any]], bool],
        *, keep: bool = False,
    ) -> None:  # fmt: skip
        self._partial = partial
        self._subfolder = subfolder
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
                        found.append((folder, None if is_same else _versions(asked.code)))
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
                encoded = json.dumps([row.to_values() for row in rows])
                database.execute(add, (key, encoded, int(self._stands(rows)), code))
        return database

    def _rows(self, folder: Path) -> Iterator[tuple[int, Sequence[Any]]]:
        shards = SealedShards.of(folder, self._subfolder)
        for shard in sorted((folder / PAYLOAD / self._subfolder).glob("*.parquet")):
            try:
                shards.check(shard)
                for key, rows in groupby(read_rows(shard, with_key(self._record)), lambda row: int(row.key)):
                    yield key, [row.row for row in rows]
            except (DataError, DamageError) as error:  # another run's file, which this one can do without
                print(f"not taken over: {error}", file=sys.stderr)
        for journal in journal_files(folder / SCRATCH, self._subfolder):
            yield from RowJournal(journal, self._record).read().items()


def _versions(code: Mapping[str, str]) -> str:
    return ", ".join(f"{label} {identity}" for label, identity in sorted(code.items()))
