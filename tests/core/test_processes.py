"""Processes that we start: their lines, and their ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from aya_core.contract.processes import Lines, how_it_ended
from aya_core.running import worker


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "ended with code 3"),
        (-signal.SIGKILL, "was killed (SIGKILL), as the system does where memory runs out"),
        (-signal.SIGSEGV, "crashed (SIGSEGV) in compiled code"),
        (-signal.SIGTERM, "was ended by SIGTERM"),
        (-77, "was ended by signal 77"),
    ],
)
def test_an_end_is_told_with_its_likely_reason(code, said):
    assert how_it_ended(code) == said


def saying(code):
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)


def test_lines_come_whole_and_end_with_the_process():
    with saying("import os; os.write(1, b'one\\ntw'); os.write(1, b'o\\n\\nhalf')") as process:
        lines = Lines(process)
        assert [lines.next() for _ in range(4)] == [b"one", b"two", b"", None]


def test_nobody_waits_for_a_pipe_that_a_grandchild_holds():
    """As a worker that is killed leaves its children, which hold the pipe to the runner."""
    code = (
        "import os, time, signal\n"
        "if (pid := os.fork()) == 0:\n"
        "    time.sleep(600)\n"
        "os.write(1, f'{pid}\\n'.encode())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    started = time.monotonic()
    process = saying(code)
    lines = Lines(process)
    grandchild = int(lines.next())
    try:
        assert lines.next() is None
        assert process.wait() == -signal.SIGKILL
        assert time.monotonic() - started < 20
    finally:
        os.kill(grandchild, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the system call is Linux's")
def test_a_fork_ends_with_its_parent_whatever_it_does():
    code = (
        "import os, signal, time\n"
        "from aya_core.contract.processes import end_with_parent\n"
        "parent = os.getpid()\n"
        "if (pid := os.fork()) == 0:\n"
        "    end_with_parent(parent)\n"
        "    os.write(1, b'begun\\n')\n"
        "    time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert Lines(process).next() == b"begun"
    process.kill()
    process.wait()
    assert process.stdout.read() == b""  # comes to its end when nobody holds the pipe any more
    process.stdout.close()


def test_logs_can_be_read_and_not_run(tmp_path):
    opened = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT, worker.LOG_MODE)
    os.close(opened)
    assert (tmp_path / "log").stat().st_mode & 0o111 == 0
