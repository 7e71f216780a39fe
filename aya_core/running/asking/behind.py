"""Work that is done in a thread while the caller goes on: compressing, hashing and flushing what was made, beside making more."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Behind:
    """One piece of work at a time, in the order given. A context manager, which waits for the last piece at its end.

    What a piece raises is raised by the next call of `do`, or at the end; where the caller fails by itself, that is what is told.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        if error[0] is None:
            self._wait()

    def do(self, piece: Callable[[], None]) -> None:
        """Begin a piece of work when the one before is done, so that no more than one piece is held in memory."""
        self._wait()
        self._last = self._thread.submit(piece)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()
