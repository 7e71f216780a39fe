"""The journal: results by key, written as they come, so that what was finished before a kill is not done again."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from aya_core.contract.durable import flush_names
from aya_core.contract.visible import visible

FLUSH_SECONDS = 2.0
"""Between two flushes to disk. Without power, results of this time are done again; a kill of the process loses none."""

CHECKSUM_BYTES = 8

BLOCK = 65536
"""Bytes read at a time, from the end, to find a half line."""


class Journal:
    """A file with a line for each result: `["CHECKSUM", KEY, VALUE]`, in JSON. It has one writer at a time.

    A line whose checksum does not fit is not believed, whatever it holds, and a half line that a kill left at the end is dropped: what they
    held counts as not done. damaged: whole lines that `read` found so. fault: says so; None where there are none.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self.fault: str | None = None
        self._path = path
        self._file: int | None = None
        self._flushed = time.monotonic()

    def read(self, *, quietly: bool = False) -> dict[Any, Any]:
        """Return every value by its key; of equal keys the last. A damaged line counts as missing, which standard error tells.

        quietly: tell nothing; `fault` says it.
        """
        return dict(self.results(quietly=quietly))

    def results(self, *, quietly: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield every key with its value, in the order written, as `read` returns them; `damaged` and `fault` are known at the end."""
        self.fault = None
        first = self.damaged = 0
        if self._path.is_file():
            with self._path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.endswith(b"\n"):
                        break
                    text = line[3 + 2 * CHECKSUM_BYTES : -1]
                    if line[: -1 - len(text)] != _start(text):
                        self.damaged += 1
                        first = first or number
                        continue
                    key, value = json.loads(b"[" + text[1:])
                    yield key, value
        if self.damaged:
            self.fault = f"{self._path}: damaged lines: {self.damaged} (the first is line {first}); what they held counts as missing"
        if self.fault is not None and not quietly:
            print(visible(str(self.fault)), file=sys.stderr)

    def write(self, results: Iterable[tuple[Any, Any]]) -> None:
        """Add results, each a key (a number or text) and a value that JSON can hold. They survive a kill when this returns."""
        if self._file is None:
            self._file = self._open()
        lines = b"".join(_line(key, value) for key, value in results)
        while lines:
            lines = lines[os.write(self._file, lines) :]
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush()

    def close(self) -> None:
        """Flush the file and let go of it. It may be written to again."""
        if self._file is not None:
            self._flush()
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Delete the file, once what it held stands elsewhere."""
        self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        if is_new:
            flush_names(self._path.parent)
        os.ftruncate(file, _whole_bytes(file))
        self._flushed = time.monotonic()
        return file

    def _flush(self) -> None:
        assert self._file is not None
        os.fsync(self._file)
        self._flushed = time.monotonic()


def _whole_bytes(file: int) -> int:
    """Where the last whole line of a file ends."""
    end = os.lseek(file, 0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _line(key: Any, value: Any) -> bytes:
    text = ("," + json.dumps([key, value])[1:]).encode()
    return _start(text) + text + b"\n"


def _start(text: bytes) -> bytes:
    return b'["%s"' % blake2b(text, digest_size=CHECKSUM_BYTES).hexdigest().encode()
