"""Texts seen so far, exactly and in bounded memory: in a temporary database that grows on disk."""

from __future__ import annotations

import sqlite3

CACHE_KIB = 32_768
"""Of each temporary database, held in memory."""


def temporary_database() -> sqlite3.Connection:
    """Open a database that lives as long as its connection; what does not fit its cache goes to a temporary file."""
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}", "locking_mode=EXCLUSIVE"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")  # one transaction that never ends: nothing here has to survive
    return database


class IdSet:
    """A set of texts that may hold hundreds of millions."""

    def __init__(self) -> None:
        self._database = temporary_database()
        self._database.execute("CREATE TABLE seen (text TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """Add a text; return whether it is new."""
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (text,)).rowcount == 1
