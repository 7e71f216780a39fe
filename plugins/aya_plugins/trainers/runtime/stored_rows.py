"""Rows where they lie: read as they are needed, so that memory does not grow with their number."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy
from pyarrow.parquet import ParquetFile

from aya_core.api import StoppedError, count_rows, read_rows
from aya_plugins.modeling.rows import Ints

Row = TypeVar("Row")
Other = TypeVar("Other")


class StoredRows(Sequence[Row], Generic[Row]):
    """Rows of a folder of rows, in the order in which they lie there. Going through them reads the folder as a stream.

    places: which rows, ascending; None for all. stopping: see `TrainingJob`.
    """

    def __init__(
        self, folder: Path, record: type[Row], places: Ints | None = None, *,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.stopping = stopping
        self.record = record
        self.places = places
        self._count = count_rows(folder) if places is None else len(places)
        self._next = -1  # where the stream stands; nowhere yet
        self._stream: Iterator[Row] = iter(())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return self._from(0)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """One row, or a list of some. Slices that follow one another are read as a stream.

        Raises StoppedError, at a slice, where the run was told to stop.
        """
        if isinstance(index, slice) and self.stopping():
            raise StoppedError("told to stop while rows were read")
        if not isinstance(index, slice):
            place = range(self._count)[index]
            return next(self._from(place))
        wanted = range(self._count)[index]
        if wanted.step != 1:
            return [self[place] for place in wanted]
        if wanted.start != self._next:
            self._stream = self._from(wanted.start)
        self._next = wanted.stop
        return [next(self._stream) for _ in wanted]

    def _from(self, place: int) -> Iterator[Row]:
        if place >= self._count:
            return
        if self.places is None:
            yield from read_rows(self.folder, self.record, place)  # type: ignore[type-var]
            return
        first = int(self.places[place])
        wanted = iter(self.places[place:])
        due = next(wanted)
        for number, row in enumerate(read_rows(self.folder, self.record, first), first):  # type: ignore[type-var]
            if number == due:
                yield row
                due = next(wanted, None)
                if due is None:
                    return


class Joined(Sequence[Row], Generic[Row]):
    """Two sequences of rows, one after the other."""

    def __init__(self, one: Sequence[Row], other: Sequence[Row]) -> None:
        self.one, self.other = one, other

    def __len__(self) -> int:
        return len(self.one) + len(self.other)

    def __iter__(self) -> Iterator[Row]:
        yield from self.one
        yield from self.other

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """One row, or a list of some."""
        first = len(self.one)
        if not isinstance(index, slice):
            place = range(len(self))[index]
            return self.one[place] if place < first else self.other[place - first]
        start, stop, step = index.indices(len(self))
        if step != 1:
            return [self[place] for place in range(start, stop, step)]
        return [*self.one[start : min(stop, first)], *self.other[max(0, start - first) : max(0, stop - first)]]


class Seen(Sequence[Other], Generic[Row, Other]):
    """What a function makes of each row of a sequence, when it is asked for. each: how many it makes of a row."""

    def __init__(self, rows: Sequence[Row], make: Callable[[Row], Sequence[Other]], each: int = 1) -> None:
        self.rows, self.make, self.each = rows, make, each

    def __len__(self) -> int:
        return self.each * len(self.rows)

    def __iter__(self) -> Iterator[Other]:
        for row in self.rows:
            yield from self.make(row)

    @overload
    def __getitem__(self, index: int) -> Other: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Other]: ...
    def __getitem__(self, index: int | slice) -> Other | Sequence[Other]:
        """One of them, or a list of some."""
        if not isinstance(index, slice):
            row, which = divmod(range(len(self))[index], self.each)
            return self.make(self.rows[row])[which]
        start, stop, step = index.indices(len(self))
        if step != 1:
            return [self[place] for place in range(start, stop, step)]
        first, last = start // self.each, -(-stop // self.each)
        made = [one for row in self.rows[first:last] for one in self.make(row)]
        return made[start - first * self.each : stop - first * self.each]


class Chosen(Sequence[Row], Generic[Row]):
    """Some of a sequence of rows. places: which, ascending."""

    def __init__(self, rows: Sequence[Row], places: Ints) -> None:
        self.rows, self.places = rows, places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Row]:
        wanted = iter(self.places)
        due: Any = next(wanted, None)
        for number, row in enumerate(self.rows):
            if due is None:
                return
            if number == due:
                yield row
                due = next(wanted, None)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """One row, or a list of some."""
        if isinstance(index, slice):
            return [self.rows[int(place)] for place in self.places[index]]
        return self.rows[int(self.places[range(len(self))[index]])]


def of_all(rows: Sequence[Row], places: Ints) -> Sequence[Row]:
    """Some rows of a sequence, or the sequence itself where they are all of it."""
    return rows if len(places) == len(rows) else Chosen(rows, places)


def some_of(rows: Sequence[Row], places: array[int]) -> Sequence[Row]:
    """Some rows of a sequence that is stored, or of any other, whose rows are then in memory."""
    if isinstance(rows, StoredRows):
        return StoredRows(rows.folder, rows.record, numpy.array(places, dtype=numpy.int64), stopping=rows.stopping)
    return [rows[place] for place in places]


def joined(one: Sequence[Row], other: Sequence[Row]) -> Sequence[Row]:
    """Two sequences as one."""
    if not len(one) or not len(other):
        return other if not len(one) else one
    return Joined(one, other)


def languages_of(rows: Sequence[Any]) -> set[str]:
    """The languages of rows that have a prompt."""
    if not isinstance(rows, StoredRows):
        return {row.prompt.language for row in rows}
    found: set[str] = set()
    for shard in sorted(rows.folder.glob("*.parquet")):
        with ParquetFile(shard) as file:
            for batch in file.iter_batches(columns=["language"]):
                found.update(batch.column("language").unique().to_pylist())
    return found
