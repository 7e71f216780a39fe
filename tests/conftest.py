"""Fixtures of all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton: its kernels then run on a CPU
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: workers share the cores


@pytest.fixture(scope="session")
def aya_command():
    """Run the command `aya` in a process of its own; returns the finished process with text output."""

    def run(*words, env=None, cwd=None):
        return subprocess.run(
            [sys.executable, "-c", "from aya_core.cli import main; main()", *map(str, words)],
            capture_output=True, text=True, env={**os.environ, "COLUMNS": "200", **(env or {})}, cwd=cwd, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def shared_data():
    """Real data for trying, which is not part of the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: this test needs the real data sets that are kept there")
    return folder
