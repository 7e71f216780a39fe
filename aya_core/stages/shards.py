"""Work in shards, which a killed run keeps and later runs take over.

A node that asks an engine about many items (prompts to answer, cases to judge) goes through them chunk by chunk and writes a
shard of rows for each. What the engine has said of a chunk lies in a journal until its shard is whole. Where an earlier
run of the same node asked the same engine about the same item, its rows are taken over: prompts that are added later
cost only themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from aya_core.artifacts import count_rows, is_whole, replace_text, write_rows
from aya_core.stages.earlier import Earlier
from aya_core.stages.journal import Journal, journal_file
from aya_core.stages.keyed import keyed
from aya_core.stages.work import Work

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Any)

TICK_SECONDS = 1.0
"""Between two reports of progress."""


@dataclass(frozen=True)
class Asking(Generic[Item, Row]):
    """What is asked of an engine.

    record: of the rows that it gives. key: names an item by its content. ask: hands items to the engine and yields the
    place of each with its rows, in any order, as they are finished. made_by: names all else that decides what comes
    back. tokens: of a row, for the speed that is reported. stands: whether rows of an earlier run are all that is wanted;
    where they are not, the item is asked about again, and they serve if nothing comes of it.
    """

    record: type[Row]
    key: Callable[[Item], int]
    ask: Callable[[Sequence[Item]], Iterator[tuple[int, Sequence[Row]]]]
    made_by: str
    tokens: Callable[[Row], int] = lambda row: 0
    stands: Callable[[Sequence[Row]], bool] = lambda rows: True


@dataclass
class Filled:
    """What came of it. items: asked about. rows: written. taken: items whose rows an earlier run had. seconds: of asking."""

    items: int = 0
    rows: int = 0
    taken: int = 0
    seconds: float = 0.0


def fill(
    work: Work, asking: Asking[Item, Row], chunks: Iterable[Sequence[Item]], *, part: str = "", total: int = 0
) -> Filled:
    """Ask about every chunk whose shard is not there yet, and write its shard. Without any chunk one empty shard is written.

    part: a folder of the payload, for a node that asks more than once. total: items, where known, for the progress.
    """
    folder = work.out / part
    folder.mkdir(exist_ok=True)
    for unfinished in folder.glob(".*.tmp"):
        unfinished.unlink()
    replace_text(work.scratch / "made_by", asking.made_by)
    earlier = Earlier(work.partial, part, asking.made_by, asking.record, asking.stands)
    clock = _Clock(work, part, total)
    filled = Filled()
    for index, items in enumerate(_at_least_one(chunks)):
        shard = folder / f"rows-{index:08d}.parquet"
        if not is_whole(shard):  # it may be there and damaged, where a machine went down
            filled.taken += _make(work, asking, items, shard, part, earlier, clock)
        filled.items += len(items)
        filled.rows += count_rows(shard)
        clock.finished(len(items))
    filled.seconds = clock.close()
    return filled


def _make(
    work: Work, asking: Asking[Item, Row], items: Sequence[Item], shard: Path, part: str, earlier: Earlier, clock: _Clock
) -> int:  # fmt: skip
    """Make one shard; return how many items an earlier run had asked about."""
    keys = [asking.key(item) for item in items]
    journal = Journal(journal_file(work.scratch, part, shard.stem), asking.record)
    found: dict[int, Sequence[Any]] = journal.read()
    taken, incomplete = earlier.take([key for key in keys if key not in found])
    found.update(taken)
    left = [place for place, key in enumerate(keys) if key not in found]
    if left:
        clock.at_work = len(items) - len(left)
        for place, rows in asking.ask([items[place] for place in left]):
            key = keys[left[place]]
            found[key] = rows
            journal.write(key, rows)
            clock.tick(sum(map(asking.tokens, rows)))
        journal.close()
    found = {**incomplete, **found}
    record = keyed(asking.record)
    rows_of = (record(row, key) for key in keys for row in found.get(key, ()))
    write_rows(shard.parent, record, rows_of, f".{shard.name}.tmp")
    (shard.parent / f".{shard.name}.tmp").rename(shard)
    journal.remove()
    return len(taken)


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut a stream into lists of a size; the last may be shorter."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _at_least_one(chunks: Iterable[Sequence[Item]]) -> Iterator[Sequence[Item]]:
    empty = True
    for chunk in chunks:
        empty = False
        yield chunk
    if empty:
        yield ()


class _Clock:
    """Counts the seconds of asking, over kills too, and reports progress now and then."""

    def __init__(self, work: Work, part: str, total: int) -> None:
        self.work = work
        self.total = total
        self.file = work.scratch / f"{part or 'rows'}.seconds"
        self.before = 0.0
        with suppress(
            FileNotFoundError, ValueError
        ):  # empty, where a machine went down: no reason to ask anything again
            self.before = float(self.file.read_text())
        self.started = self.last = time.perf_counter()
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
        replace_text(self.file, str(self.before + seconds))
        self.work.log(self.done + self.at_work, self.total, measures)
