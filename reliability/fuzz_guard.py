"""Watches what a case does beside reading: writes outside of its folder, programs and connections are noted, and stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.mkdir": (0,), "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.symlink": (1,), "os.link": (1,), "os.truncate": (0,),
    "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,), "shutil.rmtree": (0,), "shutil.move": (0, 1), "tempfile.mkstemp": (0,),
    "tempfile.mkdtemp": (0,),
}  # fmt: skip
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen")
CONNECTIONS = ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request")


class EscapedError(Exception):
    """What a case tried to do outside; the message says what."""


class Guard:
    """Guards this process from now on. allowed: folders that may be written to. found: what was tried beside them, while it is on."""

    def __init__(self, *allowed: Path) -> None:
        self.allowed = tuple(os.path.realpath(folder) for folder in allowed)
        self.found: list[str] = []
        self.is_on = False
        sys.addaudithook(self._see)

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, mode, flags = args
            if (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                isinstance(flags, int) and flags & WRITES
            ):
                self._check(event, path)
        elif event in CHANGES:
            for place in CHANGES[event]:
                self._check(event, args[place])
        elif event in PROGRAMS or event in CONNECTIONS:
            self._stop(f"{event} {args!r:.300}")

    def _check(self, event: str, path: Any) -> None:
        if path is None or isinstance(path, int):
            return
        self.is_on = False
        try:
            text = os.fsdecode(path)
            if text.startswith(("/dev/null", "/proc/self/")) or text == "":
                return
            whole = os.path.abspath(text)
            real = whole if whole in self.allowed else os.path.realpath(os.path.dirname(whole))
        except ValueError:  # no name that any system takes
            return
        finally:
            self.is_on = True
        # Names beside an open folder, as shutil.rmtree uses them, are below a folder that was checked before.
        if not any(real == folder or real.startswith(folder + os.sep) for folder in self.allowed):
            self._stop(f"{event} {text!r:.300}")

    def _stop(self, what: str) -> None:
        self.found.append(what)
        raise EscapedError(what)
