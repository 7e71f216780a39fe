"""One process at a time in a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from aya_core.contract.errors import AyaError

LOCK_SECONDS = 5.0
"""How long one waits for what a killed process left behind; the processes that it had started end within moments."""


@contextmanager
def locked(file: Path, taken: Callable[[str], AyaError]) -> Iterator[int]:
    """Hold a lock until the block ends. file: of the lock, in a folder that exists. taken: makes the error of who says who holds it.

    Yields the lock's file descriptor, for processes that are started meanwhile to hold on to. Raises FileNotFoundError where the
    folder was removed by who held the lock before.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with file.open("a+") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise taken(holder(opened)) from None
                time.sleep(0.05)
                continue
            if not _is_still(opened, file):
                continue
            opened.truncate(0)
            opened.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
            opened.flush()
            yield opened.fileno()
            return


def holder(lock: TextIO) -> str:
    """Who took a lock last."""
    lock.seek(0)
    return lock.read().strip() or "it does not say who it is"


def _is_still(opened: TextIO, file: Path) -> bool:
    """Whether an open file has not been removed, or replaced, by who held the lock before."""
    try:
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    except FileNotFoundError:
        return False
