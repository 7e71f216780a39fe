"""Processes that we start: what they say, line by line, and how they end."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

LOOK_SECONDS = 0.5
"""Between two looks at whether a process lives, while it says nothing."""

CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE")
"""Signals by which the system ends a program that went wrong."""


class Lines:
    """What a process writes to its pipe, line by line. Nobody waits for a pipe that what it started holds open after its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._half = b""

    def next(self) -> bytes | None:
        """Wait for a line, without its end; None once the process has ended and all that it said is read."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._half:
            has_ended = self._process.poll() is not None  # asked first: what it said before its end is in the pipe then
            if select.select([pipe], [], [], 0 if has_ended else LOOK_SECONDS)[0]:
                received = os.read(pipe, 65536)
                self._half += received
                if received:
                    continue
                self._process.wait()
                return None
            if has_ended:
                return None
        line, self._half = self._half.split(b"\n", 1)
        return line


_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""


def end_with_parent(parent: int) -> None:
    """Have the system kill this process, a fork that starts no others, when the one that forked it ends, however it does.

    On Linux alone; elsewhere it ends when it next looks at its pipe. parent: its process id, taken before the fork.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was asked for
        os._exit(1)


def how_it_ended(code: int) -> str:
    """Say how a process ended, to stand behind its name. code: as `subprocess` gives it, less than 0 for a signal."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "was killed (SIGKILL), as the system does where memory runs out"
    if name in CRASHES:
        return f"crashed ({name}) in compiled code"
    return f"was ended by {name}"
