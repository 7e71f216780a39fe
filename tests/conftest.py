"""Fixtures of all tests."""

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from warm_process import WarmProcess

from aya_core.cli import COMMANDS

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton: its kernels then run on a CPU
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: workers share the cores

PLUGINS = tuple(entry.module for entry in entry_points(group="aya"))


@pytest.fixture(scope="session")
def aya_command():
    """Run the command `aya` in a process of its own; returns the finished process with text output.

    The process is forked from one that has the imports of the command behind it; the workers that it starts are new ones.
    """
    warm = WarmProcess(*(f"aya_core.cli.{name.replace('-', '_')}" for name in COMMANDS), *PLUGINS)

    def run(*words, env=None, cwd=None):
        environment = {**os.environ, "COLUMNS": "200", **(env or {})}
        task = {"call": "aya_core.cli:main", "words": words, "environment": environment}
        return warm.run({**task, "cwd": cwd} if cwd else task)

    yield run
    warm.end()


@pytest.fixture(scope="session")
def shared_data():
    """Real data for trying, which is not part of the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: this test needs the real data sets that are kept there")
    return folder
