"""Hash inputs while torch is being imported, which takes a second of one core."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from aya_core.api import DataError, end_with_parent
from aya_plugins.merges.files.checkpoint import Stored, tensor_digest


@contextmanager
def digests_ahead(tensors: Sequence[Stored]) -> Iterator[list[str]]:
    """Take digests in another process until the block ends. From then on the list holds those of the first tensors.

    How many they are is chance. It ends before what cannot be read, which the merge will tell. It is empty where torch is there
    already, and where a fork is not safe.
    """
    digests: list[str] = []
    if "torch" in sys.modules or sys.platform != "linux":
        yield digests
        return
    context = multiprocessing.get_context("fork")
    results, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_hash, args=(tensors, theirs, results, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    try:
        yield digests
    finally:
        process.kill()
        process.join()
        with suppress(EOFError):
            while True:
                digests.append(results.recv_bytes().decode())
        results.close()


def _hash(tensors: Sequence[Stored], results: Connection, other_end: Connection, parent: int) -> None:
    end_with_parent(parent)
    other_end.close()  # so that it is closed once the first process is gone
    with suppress(DataError, OSError, KeyboardInterrupt):
        for tensor in tensors:
            results.send_bytes(tensor_digest(tensor).encode())  # so short that it is written at once or not at all
