"""Threads that work on pieces, few enough that their memory stays within bounds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class Crew:
    """Runs tasks in threads, each of which computes in one thread itself, so that no sum depends on how many there are.

    `submit` waits where the tasks under way would hold more than `memory` bytes together.
    """

    def __init__(self, threads: int, memory: int, pool: ThreadPoolExecutor) -> None:
        self.threads, self._memory, self._pool = threads, memory, pool
        self._under_way: deque[tuple[Future[Any], int]] = deque()
        self._held = 0

    def map(self, function: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """Apply a function to every item and return the results in the order of the items."""
        return list(self._pool.map(function, items))

    def submit(self, task: Callable[[], Any], memory: int) -> None:
        """Run a task later. memory: bytes that it holds while it runs. Raises what an earlier task raised."""
        while self._under_way and (self._under_way[0][0].done() or self._held + memory > self._memory):
            self._await_first()
        while len(self._under_way) >= 8 * self.threads:
            self._await_first()
        self._under_way.append((self._pool.submit(task), memory))
        self._held += memory

    def finish(self) -> None:
        """Wait for every task. Raises what the first of them raised."""
        while self._under_way:
            self._await_first()

    def _await_first(self) -> None:
        future, memory = self._under_way.popleft()
        self._held -= memory
        future.result()


@contextmanager
def crew(threads: int | None, memory: int) -> Iterator[Crew]:
    """Open a crew. threads: None takes every core. memory: bytes. On an error, tasks not yet begun are dropped."""
    import torch

    count = threads or _cores()
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=lambda: torch.set_num_threads(1))
    try:
        yield Crew(count, memory, pool)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
