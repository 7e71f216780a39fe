"""Hashes of files, remembered, so that a checkpoint of terabytes is not read again to see that it has not changed."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from aya_core.contract.journal import Journal

SETTLED_SECONDS = 2.0
"""A file that was written to more recently may be written to again within one tick of the clock that dates it: it is not remembered."""


NAME_DIGITS = 32
"""Of a hash in a file's name."""

_NAMED = re.compile(rf"sha256-([0-9a-f]{{{NAME_DIGITS}}})\..+")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_by_hash(data: bytes, suffix: str) -> str:
    """The name of a file that is called by the hash of its bytes, `sha256-HASH.SUFFIX`; `aya verify` checks files of such names.

    So any number of processes write side by side without a lock, and a damaged file is known by its name. suffix: with its dot.
    """
    return f"sha256-{hashlib.sha256(data).hexdigest()[:NAME_DIGITS]}{suffix}"


def fits_its_name(file: Path) -> bool:
    """Whether a file that `named_by_hash` named holds the bytes that were written; of any other name it does."""
    named = _NAMED.fullmatch(file.name)
    return named is None or file_hash(file).startswith(named[1])


class Hashes:
    """Hashes of files by path, each believed while size, modification time and inode of the file stay as they were.

    file: where they are kept; None keeps them in memory alone, and so does a folder that is not there or cannot be written to.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._journal = Journal(file) if file is not None and file.parent.is_dir() else None
        written = self._journal.read() if self._journal else {}
        self._known: dict[str, list[object]] = {path: known for path, known in written.items() if _is_known(known)}
        self._lock = Lock()

    def of(self, path: Path) -> str:
        """SHA-256 of a file's bytes, read only if it is not known."""
        before = _state(path)
        *state, digest = self._known.get(str(path.absolute()), [None])
        if state == before:
            return str(digest)
        digest = file_hash(path)
        if _state(path) == before and time.time() - path.stat().st_mtime > SETTLED_SECONDS:
            self._remember(str(path.absolute()), [*before, digest])
        return digest

    def _remember(self, path: str, known: list[object]) -> None:
        with self._lock:  # several files are hashed at a time
            self._known[path] = known
            if self._journal is not None:
                with suppress(OSError):  # a folder that may only be read: the file is hashed again next time
                    self._journal.write([(path, known)])


def _is_known(value: object) -> bool:
    match value:
        case [int(), int(), int(), str()]:
            return True
    return False


def _state(path: Path) -> list[object]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]
