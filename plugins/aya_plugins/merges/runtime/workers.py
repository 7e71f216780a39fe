"""Processes that share out the tensors of a merge.

Not threads: one operation on a piece takes a few microseconds, after which a thread has to wait for the interpreter's lock;
two threads are no faster than one.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from aya_core.api import AyaError, end_with_parent, how_it_ended


class Task(NamedTuple):
    """Something to be done. memory: bytes that it holds meanwhile. run: what it returns can be pickled."""

    memory: int
    run: Callable[[], Any]


def work(
    tasks: Sequence[Task], processes: int, memory: int, begin: Callable[[int], None], done: Callable[[int, Any], None]
) -> None:
    """Do tasks in order, several at a time in as many processes, each of which computes in one thread.

    memory: bytes that the tasks under way may hold together; one that holds more is done alone. begin: called with a task's
    number before it starts, done: with its number and what it returned. Raises what a task raised, after stopping the others.
    """
    if (
        min(processes, len(tasks)) <= 1 or sys.platform != "linux"
    ):  # elsewhere a fork of torch is not safe, or there is none
        with _one_thread():
            for number, task in enumerate(tasks):
                begin(number)
                done(number, task.run())
        return
    workers: list[_Worker] = []
    for _ in range(min(processes, len(tasks))):
        workers.append(_Worker(tasks, [worker.connection for worker in workers]))
    try:
        _share_out(tasks, workers, memory, begin, done)
    finally:
        for worker in workers:
            worker.stop()


def _share_out(
    tasks: Sequence[Task],
    workers: Sequence[_Worker],
    memory: int,
    begin: Callable[[int], None],
    done: Callable[[int, Any], None],
) -> None:
    under_way: dict[Connection, tuple[_Worker, int]] = {}
    idle = list(workers)
    number, held = 0, 0
    while number < len(tasks) or under_way:
        while number < len(tasks) and idle and (not under_way or held + tasks[number].memory <= memory):
            begin(number)
            worker = idle.pop()
            worker.start(number)
            under_way[worker.connection] = (worker, number)
            held += tasks[number].memory
            number += 1
        for connection in wait(list(under_way)):
            assert isinstance(connection, Connection)
            worker, finished = under_way.pop(connection)
            held -= tasks[finished].memory
            done(finished, worker.result())
            idle.append(worker)


class _Worker:
    """A fork of this process that does tasks by number. others: connections to those forked before it."""

    def __init__(self, tasks: Sequence[Task], others: Sequence[Connection]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        ours = [self.connection, *others]
        self._process = context.Process(target=_serve, args=(tasks, theirs, ours, os.getpid()), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, number: int) -> None:
        self.connection.send(number)

    def result(self) -> Any:
        try:
            error, value = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            raise AyaError(
                f"a process of the merge {how_it_ended(self._process.exitcode or 0)}; "
                "run it again, with fewer threads: finished shards are kept"
            ) from None
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(tasks: Sequence[Task], connection: Connection, ours: Sequence[Connection], parent: int) -> None:
    """Do tasks until the first process, the parent, is gone.

    ours: its ends of pipes, which must close with it, and so not stay open here.
    """
    end_with_parent(parent)
    for end in ours:
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, and ends this one
    with _one_thread():
        while True:
            try:
                number = connection.recv()
            except EOFError:
                os._exit(1)
            try:
                answer = pickle.dumps((None, tasks[number].run()))
            except BaseException as error:
                answer = _pickled(error)
            try:
                connection.send_bytes(answer)
            except OSError:
                os._exit(1)


def _pickled(error: BaseException) -> bytes:
    try:
        content = pickle.dumps((error, None))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((RuntimeError("".join(traceback.format_exception(error))), None))
    return content


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
