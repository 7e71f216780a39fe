"""Replies to single questions, kept from the moment they come: what an arbiter asks on its way to a verdict, and need not ask twice.

They lie in the run's store, in a folder for each of those who are asked (settings, contents of models and files), and there in a journal
for each step and code. So they survive a kill, and a new teacher, gate or stage asks only what is new.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from aya_core.contract.artifacts import stable_hash
from aya_core.contract.durable import make_folder
from aya_core.contract.errors import PluginError
from aya_core.contract.id_set import temporary_database
from aya_core.contract.journal import Journal
from aya_core.contract.kinds import Arbiter, KeepingArbiter
from aya_core.contract.strategies import Strategy, strategies_in, strategies_with_paths
from aya_core.planning.plan import fill_paths
from aya_core.running.asking.shards import Filled
from aya_core.running.work import Work

FOLDER = "replies"
"""Of the run's store, or without one of the step's scratch folder."""


class KeptReplies:
    """The replies of one who is asked. Satisfies `ReplyStore`.

    folder: of their journals. code: of what answers, in the names of the journals. step: names the journal that is written. keep: whether
    replies of other code will do, too. found: questions answered from here, of which other code answered `found_of_other_code`.
    damaged: lines that were not what was written.
    """

    def __init__(self, folder: Path, code: str, step: str, *, keep: bool) -> None:
        self.found = self.found_of_other_code = self.damaged = 0
        self._folder = folder
        self._code = code
        self._keep = keep
        self._journal = Journal(folder / f"{code}-{step}.jsonl")

    def find(self, key: str) -> Any | None:
        """What was kept under a key; None for nothing."""
        row = self._index.execute("SELECT value, is_other FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self.found += 1
        self.found_of_other_code += row[1]
        return json.loads(row[0])

    def add(self, key: str, value: Any) -> None:
        """Keep a reply. It survives a kill when this returns."""
        self._insert(self._index, key, value, is_other=False)
        self._journal.write([(key, value)])

    def close(self) -> None:
        """Flush what was written."""
        self._journal.close()

    @cached_property
    def _index(self) -> sqlite3.Connection:
        """All that is kept, by key, so that memory stays bounded."""
        make_folder(self._folder)
        database = temporary_database()
        database.execute("CREATE TABLE replies (key TEXT PRIMARY KEY, value TEXT, is_other INTEGER)")
        for file, is_other in self._files():
            journal = Journal(file)
            for key, value in journal.results():
                self._insert(database, key, value, is_other=is_other)
            self.damaged += journal.damaged
        return database

    def _files(self) -> Iterator[tuple[Path, bool]]:
        """The journals that count, those of the same code first."""
        files = sorted(self._folder.glob("*.jsonl"))
        own = [file for file in files if file.name.startswith(f"{self._code}-")]
        others = [file for file in files if file not in own]
        yield from ((file, False) for file in own)
        if self._keep:
            yield from ((file, True) for file in others)
        elif others:
            count = sum(file.read_bytes().count(b"\n") for file in others)
            print(
                f"{self._folder}: not taken over: {count:,} replies of other code; --keep takes them over",
                file=sys.stderr,
            )

    @staticmethod
    def _insert(database: sqlite3.Connection, key: str, value: Any, *, is_other: bool) -> None:
        database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", (key, json.dumps(value), is_other))


class StepReplies:
    """Gives the arbiters of a step their stores (see `KeepingArbiter`), and counts what was found there.

    setting: of the step, which holds the strategy `root`. Whoever is asked is this strategy, or one inside it.
    """

    def __init__(self, work: Work, setting: str, root: Strategy[Any]) -> None:
        self._work = work
        self._setting = setting
        self._root = root
        self._stores: list[KeptReplies] = []

    def give(self, arbiter: Arbiter) -> None:
        """Let an arbiter keep its replies, if it does such a thing."""
        if isinstance(arbiter, KeepingArbiter):
            arbiter.keep_replies(self._store)

    def close(self) -> Filled:
        """Flush what was written, and return what was found damaged."""
        for store in self._stores:
            store.close()
        return Filled(damaged=sum(store.damaged for store in self._stores))

    @property
    def measures(self) -> Mapping[str, int]:
        """`replies_taken_over` counts questions that were not asked, as the reply was there; without any it is left out.

        `replies_kept` counts those among them that other code answered.
        """
        counts = {
            "replies_taken_over": sum(store.found for store in self._stores),
            "replies_kept": sum(store.found_of_other_code for store in self._stores),
        }
        return {name: count for name, count in counts.items() if count}

    def _store(self, strategy: Strategy[Any]) -> KeptReplies:
        path = self._path_to(strategy)
        settings = self._work.node.identity[self._setting]
        for part in path:
            settings = settings[part]
        asked = stable_hash(fill_paths(settings, self._work.contents))  # by content, wherever it lies
        folder = (self._work.store or self._work.scratch) / FOLDER / asked[:16]
        step = stable_hash(self._work.node.id)[:12]
        store = KeptReplies(folder, self._code_of(strategy), step, keep=self._work.keep)
        self._stores.append(store)
        return store

    def _path_to(self, strategy: Strategy[Any]) -> tuple[str | int, ...]:
        for path, one in strategies_with_paths(self._root):
            if one is strategy:
                return path
        raise PluginError(
            f"an arbiter wants to keep replies of {type(strategy).__name__}, which is none of its settings; make it a field: "
            "nested('teacher'), or keep them for the arbiter's own settings"
        )

    def _code_of(self, strategy: Strategy[Any]) -> str:
        """Name the code that answers, by what the plan knows of it."""
        inner = list(strategies_in(strategy))
        labels = {self._work.registry.label_of(one) for one in inner}
        labels |= {f"module {module}" for one in inner for module in one.code_modules}
        known: Mapping[str, str] = self._work.node.asked.get("code", {})
        return stable_hash({label: identity for label, identity in known.items() if label in labels})[:12]
