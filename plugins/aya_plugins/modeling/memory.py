"""Fall to smaller batches when memory runs out, and keep none that is free."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import torch

from aya_plugins.modeling.rows import Ints

Result = TypeVar("Result")

WORDS = (
    "DefaultCPUAllocator: ", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "std::bad_alloc",
    "Cannot allocate memory",
)  # fmt: skip
"""By which errors of the same cause are known that have no class of their own: of the CPU's allocator, the driver, its libraries."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a smaller batch might do. What a CPU's allocator and some libraries raise is known by its words alone."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)


def halving(rows: Ints, run: Callable[[Ints], Result]) -> Iterator[tuple[Ints, Result]]:
    """Run a batch, or its halves where it does not fit in memory. A single row that does not fit raises."""
    result: Result | None = None
    try:
        result = run(rows)
    except (RuntimeError, MemoryError) as error:  # an OutOfMemoryError is a RuntimeError
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
    if result is not None:
        yield rows, result
        return
    # Outside `except`, where the traceback would keep the tensors of the failed batch alive.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    yield from halving(rows[:middle], run)
    yield from halving(rows[middle:], run)


def give_back() -> None:
    """Hand freed memory to the system where the C library would keep it (glibc): reading 128,000 tokens leaves 90 MiB."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
