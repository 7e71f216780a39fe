"""Regular expressions that come with rows and adapters: some take longer than the world will last, on a short text."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 2.0
"""How long one expression may take on one text."""

_slow: set[str] = set()
"""Expressions that took longer, which are not tried again."""


def matches(pattern: str, text: str, seconds: float = SECONDS) -> bool:
    """Whether an expression matches anywhere in a text. Raises TimeoutError for one that takes too long, and for it from then on."""
    too_long = f"the regular expression {pattern!r:.80} takes longer than {seconds:g} s; write it so that no two repetitions meet"
    if pattern in _slow:
        raise TimeoutError(too_long)
    try:
        with _within(seconds):
            return re.search(pattern, text) is not None
    except _SlowError:
        _slow.add(pattern)
        raise TimeoutError(too_long) from None


class _SlowError(Exception):
    pass


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, which only the main thread can be; steps are done there. A timer that runs already goes on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _SlowError

    handler, started = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)
