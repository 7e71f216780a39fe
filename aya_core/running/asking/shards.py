"""Work in shards, which a killed run keeps and later runs take over.

A node that asks an engine about many items (prompts to answer, cases to judge) goes through them chunk by chunk and writes a
shard of rows for each. What the engine has said of a chunk lies in a journal until its shard is whole. Where an earlier
run of the same node asked the same engine about the same item, its rows are taken over: prompts that are added later
cost only themselves.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from aya_core.contract.artifacts import count_rows, write_rows
from aya_core.contract.durable import DAMAGED, PARTIAL, make_folder, set_aside, write_file, writing_file
from aya_core.contract.errors import DamageError
from aya_core.running.asking.asked import Asked
from aya_core.running.asking.behind import Behind
from aya_core.running.asking.reuse import ReusableRows, RowJournal, SealedShards, journal_file, with_key
from aya_core.running.work import Work

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Any)

TICK_SECONDS = 1.0
"""Between two reports of progress."""


@dataclass(frozen=True)
class Asking(Generic[Item, Row]):
    """What is asked of an engine.

    record: of the rows that it gives. key: names an item by its content. ask: hands items to the engine and yields the
    place of each with its rows, in any order, as they are finished. asked: all else that decides what comes
    back. tokens: of a row, for the speed that is reported. stands: whether rows of an earlier run are all that is wanted;
    where they are not, the item is asked about again, and they serve if nothing comes of it. made: is told the name of each shard
    when all of its items have been asked about, before it is written.
    """

    record: type[Row]
    key: Callable[[Item], int]
    ask: Callable[[Sequence[Item]], Iterator[tuple[int, Sequence[Row]]]]
    asked: Asked
    tokens: Callable[[Row], int] = lambda row: 0
    stands: Callable[[Sequence[Row]], bool] = lambda rows: True
    made: Callable[[str], None] = lambda shard: None


@dataclass
class Filled:
    """What came of it. items: asked about. rows: written. taken: items whose rows an earlier run had. seconds: of asking.

    kept: of those taken, the ones that other code answered, by that code.
    damaged: shards, and lines of journals, that a run before left and that were not what it wrote. They were made again.
    """

    items: int = 0
    rows: int = 0
    taken: int = 0
    seconds: float = 0.0
    kept: Mapping[str, int] = field(default_factory=dict)
    damaged: int = 0


def damaged(*filled: Filled) -> dict[str, int]:
    """The measure that counts what was found damaged; none where nothing was."""
    count = sum(one.damaged for one in filled)
    return {"damaged": count} if count else {}


def kept(*filled: Filled) -> dict[str, Any]:
    """The measure that says how many items other code answered, by that code; none where there are none."""
    total: Counter[str] = sum((Counter(one.kept) for one in filled), Counter())
    return {"kept": dict(total)} if total else {}


def fill_shards(
    work: Work, asking: Asking[Item, Row], chunks: Iterable[Sequence[Item]], *, subfolder: str = "", total: int = 0
) -> Filled:
    """Ask about every chunk whose shard is not there yet, and write its shard. Without any chunk one empty shard is written.

    subfolder: a folder of the payload, for a node that asks more than once. total: items, where known, for the progress.
    """
    folder = work.out / subfolder
    make_folder(folder)
    for unfinished in folder.glob(f".*{PARTIAL}"):
        unfinished.unlink()
    asking.asked.write(work.scratch)
    with Behind() as behind:
        filling = _Filling(work, asking, subfolder, total, behind)
        for index, items in enumerate(_at_least_one(chunks)):
            filling.fill(folder / f"rows-{index:08d}.parquet", items)
    return filling.end()


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut a stream into lists of a size; the last may be shorter."""
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


def _at_least_one(chunks: Iterable[Sequence[Item]]) -> Iterator[Sequence[Item]]:
    stream = iter(chunks)
    yield next(stream, ())
    yield from stream


class _Filling(Generic[Item, Row]):
    """Fills one shard after the other, and counts what comes of it. A shard is written while the next chunk is asked about."""

    def __init__(self, work: Work, asking: Asking[Item, Row], subfolder: str, total: int, behind: Behind) -> None:
        self.work = work
        self.behind = behind
        self.asking = asking
        self.subfolder = subfolder
        self.sealed = SealedShards.of(work.partial, subfolder)
        self.reusable = ReusableRows(
            work.partial, subfolder, asking.asked, asking.record, asking.stands, keep=work.keep
        )
        self.clock = _Clock(work, subfolder, total)
        self.filled = Filled()

    def fill(self, shard: Path, items: Sequence[Item]) -> None:
        """Make a shard, unless a killed run left it whole."""
        if shard.exists():
            self._set_aside_if_damaged(shard)
        if shard.exists():
            self.behind.do(partial(self._count, shard))
        else:
            self._make(shard, items)
        self.filled.items += len(items)
        self.clock.finished(len(items))

    def end(self) -> Filled:
        """Return what came of it."""
        self.filled.seconds = self.clock.close()
        self.filled.kept = self.reusable.kept
        return self.filled

    def _set_aside_if_damaged(self, shard: Path) -> None:
        """Look at a shard that a killed run left, and move it out of the payload where it is not what was written."""
        try:
            self.sealed.check(shard)
        except DamageError as error:
            aside = set_aside(shard, self.work.partial.with_suffix(DAMAGED))
            print(f"{error}. It is made again; what was there is kept as {aside}", file=sys.stderr)
            self.filled.damaged += 1

    def _make(self, shard: Path, items: Sequence[Item]) -> None:
        """Take over what is known of a chunk, ask about the rest, and write the shard."""
        keys = [self.asking.key(item) for item in items]
        journal = RowJournal(journal_file(self.work.scratch, self.subfolder, shard.stem), self.asking.record)
        found: dict[int, Sequence[Any]] = journal.read()
        self.filled.damaged += journal.damaged
        taken, incomplete = self.reusable.take([key for key in keys if key not in found])
        found.update(taken)
        left = [place for place, key in enumerate(keys) if key not in found]
        if left:
            self.clock.at_work = len(items) - len(left)
            for place, rows in self.asking.ask([items[place] for place in left]):
                key = keys[left[place]]
                found[key] = rows
                journal.write(key, rows)
                self.clock.tick(sum(map(self.asking.tokens, rows)))
            journal.close()
        self.asking.made(shard.stem)
        self.filled.taken += len(taken)
        self.behind.do(partial(self._write, shard, keys, {**incomplete, **found}, journal))

    def _count(self, shard: Path) -> None:
        self.filled.rows += count_rows(shard)

    def _write(self, shard: Path, keys: Sequence[int], found: Mapping[int, Sequence[Any]], journal: RowJournal) -> None:
        """Write a shard; until it is whole the journal holds its rows."""
        record = with_key(self.asking.record)
        rows_of = (record(row, key) for key in keys for row in found.get(key, ()))
        with writing_file(shard) as unfinished:
            self.filled.rows += write_rows(unfinished.parent, record, rows_of, unfinished.name)
            self.sealed.seal(shard.name, unfinished)
        journal.remove()


class _Clock:
    """Counts the seconds of asking, over kills too, and reports progress now and then."""

    def __init__(self, work: Work, subfolder: str, total: int) -> None:
        self.work = work
        self.total = total
        self.file = work.scratch / f"{subfolder or 'rows'}.seconds"
        self.before = 0.0
        with suppress(
            FileNotFoundError, ValueError
        ):  # empty where a machine went down, which is no reason to ask again
            self.before = float(self.file.read_text())
        self.started = self.last = self.noted = time.perf_counter()
        self.done = self.at_work = self.tokens = 0

    def tick(self, tokens: int) -> None:
        """Count one item that came back."""
        self.at_work += 1
        self.tokens += tokens
        if time.perf_counter() - self.last >= TICK_SECONDS:
            self._tell()

    def finished(self, items: int) -> None:
        """Count a chunk whose shard is there."""
        self.done += items
        self.at_work = 0
        self._tell()

    def close(self) -> float:
        """Return the seconds spent."""
        return self.before + time.perf_counter() - self.started

    def _tell(self) -> None:
        self.last = time.perf_counter()
        seconds = self.last - self.started
        measures: dict[str, float] = {"seconds": round(seconds, 3)}
        if self.tokens:
            measures = {"tokens_per_second": self.tokens / max(seconds, 1e-9), **measures}
        if self.last - self.noted >= TICK_SECONDS:  # not after each of many short chunks: every write is flushed
            self.noted = self.last
            write_file(self.file, str(self.before + seconds))
        self.work.log(self.done + self.at_work, self.total, measures)
