"""The journal of a chunk: what an engine has said so far, written as it comes, so that a killed run has it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aya_core.contract.journal import Journal

PATIENCE_SECONDS = 0.5
"""Chunks that are done within this time are not written to a journal: doing them again costs less."""


def journal_file(scratch: Path, part: str, shard: str) -> Path:
    """Where the journal of a shard lies."""
    return scratch / f"journal-{part}-{shard}.jsonl"


def journal_files(scratch: Path, part: str) -> list[Path]:
    """The journals of all shards of a part."""
    return sorted(scratch.glob(journal_file(Path(), part, "*").name))


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
        self._waiting: list[tuple[int, Any]] = []

    def read(self) -> dict[int, Sequence[Any]]:
        """The rows of each item written so far."""
        found: dict[int, Sequence[Any]] = {}
        known = self._journal.read()
        self.damaged = self._journal.damaged
        for key, rows in known.items():
            try:
                found[key] = [self._record.from_values(*row) for row in rows]
            except (TypeError, ValueError) as error:  # rows that another version wrote, with other columns
                self.damaged += 1
                print(f"{self._path}: rows that cannot be read ({error}); they are asked for again", file=sys.stderr)
        return found

    def write(self, key: int, rows: Sequence[Any]) -> None:
        """Add an item. It survives a kill of the process as soon as this returns, half a second into the chunk."""
        self._waiting.append((key, [row.to_values() for row in rows]))
        if time.monotonic() - self._started >= PATIENCE_SECONDS:
            self._journal.write(self._waiting)
            self._waiting.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()

    def remove(self) -> None:
        """Delete the file; what it held stands in a shard."""
        self._journal.remove()
