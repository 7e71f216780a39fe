"""The journal of a chunk: what an engine has said so far, written as it comes, so that a killed run has it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 0.5
"""Chunks that are done within this time are not written to a journal: doing them again costs less."""


def journal_file(scratch: Path, part: str, shard: str) -> Path:
    """Where the journal of a shard lies."""
    return scratch / f"journal-{part}-{shard}.jsonl"


def journal_files(scratch: Path, part: str) -> list[Path]:
    """The journals of all shards of a part."""
    return sorted(scratch.glob(journal_file(Path(), part, "*").name))


class Journal:
    """Items with their rows, a JSON list a line. A line cut short by a kill is dropped when it is read."""

    def __init__(self, path: Path, record: type[Any]) -> None:
        self._path = path
        self._record = record
        self._started = time.monotonic()
        self._waiting: list[tuple[int, Sequence[Any]]] = []
        self._file: int | None = None

    def read(self) -> dict[int, Sequence[Any]]:
        """The rows of each item written so far."""
        if not self._path.is_file():
            return {}
        found: dict[int, Sequence[Any]] = {}
        for line in self._whole().splitlines():
            with suppress(ValueError, TypeError):  # damaged, where a machine went down: its item is asked about again
                key, rows = json.loads(line)
                found[key] = [self._record.from_values(*row) for row in rows]
        return found

    def write(self, key: int, rows: Sequence[Any]) -> None:
        """Add an item. It survives a kill of the process as soon as this returns, half a second into the chunk."""
        self._waiting.append((key, rows))
        if time.monotonic() - self._started >= PATIENCE_SECONDS:
            if self._file is None:
                self._file = self._open()
            lines = [json.dumps([key, [row.to_values() for row in rows]]) + "\n" for key, rows in self._waiting]
            os.write(self._file, "".join(lines).encode())
            self._waiting.clear()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.ftruncate(file, len(self._whole()))
        return file

    def _whole(self) -> bytes:
        raw = self._path.read_bytes()
        return raw[: raw.rfind(b"\n") + 1]

    def remove(self) -> None:
        """Delete the file; what it held stands in a shard."""
        self._path.unlink(missing_ok=True)
