"""Standard output belongs to what a command answers, such as the JSON of `--json`; what a plugin prints as it loads does not.

It goes to standard error, each line with the plugin's name.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def prints_named(who: str) -> Iterator[None]:
    """Send to standard error what is printed meanwhile, by Python, by C libraries or by other programs."""
    named = _Named(who)
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        with redirect_stdout(named):
            yield
        return
    with tempfile.TemporaryFile() as file:
        _flush()
        os.dup2(file.fileno(), 1)
        try:
            with redirect_stdout(named):
                yield
        finally:
            _flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            named.write(file.read().decode(errors="replace"))
            named.end_line()


class _Named(io.TextIOBase):
    """Writes lines to standard error with a name before each. A plugin that keeps it as its `sys.stdout` can go on writing."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._is_inside_line = False

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write some text, of which lines need not be whole."""
        for line in text.splitlines(keepends=True):
            sys.stderr.write(line if self._is_inside_line else f"{self._who} prints as it loads: {line}")
            self._is_inside_line = not line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """Flush standard error."""
        sys.stderr.flush()

    def end_line(self) -> None:
        """End a line that was begun."""
        if self._is_inside_line:
            self.write("\n")


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None:
            stream.flush()
