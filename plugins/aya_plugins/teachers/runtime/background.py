"""An asynchronous producer as an ordinary iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

Item = TypeVar("Item")

Give: TypeAlias = Callable[[Item], Awaitable[None]]


def in_background(produce: Callable[[Give[Item]], Coroutine[Any, Any, None]], *, room: int) -> Iterator[Item]:
    """Run `produce(give)` in an event loop of its own thread, and yield what it gives.

    The loop goes on while the consumer is busy, so replies are read when they come and a timeout is the server's. It
    is no trouble to a caller whose thread runs a loop already (a notebook).

    room: how many items may wait. `give` hands its item over and then waits for room, so what is finished is never
    lost to a failure beside it; in all, `room` items and one for each task that gives can be waiting.

    An exception of `produce` comes after the items given before it. Closing the iterator cancels `produce` and waits
    until that has cleaned up.
    """
    items: SimpleQueue[tuple[Item] | _End] = SimpleQueue()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None], asyncio.Semaphore]] = Future()

    async def main() -> None:
        free = asyncio.Semaphore(room)
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task, free))

        async def give(item: Item) -> None:
            items.put((item,))
            await free.acquire()

        await produce(give)

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(main())
        except BaseException as raised:
            error = raised
            if not running.done():  # there is no loop to be had: too many open files, say
                running.set_exception(raised)
        items.put(_End(error))

    thread = Thread(target=run, name="in_background", daemon=True)
    thread.start()
    loop, task, free = running.result()
    try:
        while not isinstance(item := items.get(), _End):
            _tell(loop, free.release)
            yield item[0]
        if item.error is not None:
            raise item.error
    finally:
        _tell(loop, task.cancel)
        thread.join()


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: all is done
        loop.call_soon_threadsafe(what)
