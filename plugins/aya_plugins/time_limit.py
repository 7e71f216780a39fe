"""A limit on the time that something of a stranger's may take: a pattern, a template."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class SlowError(Exception):
    """What was done took longer than it may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, which only the main thread can be; steps are done there. A timer that runs already goes on.

    Raises SlowError.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise SlowError

    handler, started = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)
