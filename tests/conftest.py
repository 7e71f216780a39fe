"""Fixtures of all tests."""

import os
import subprocess
import sys
import venv
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from warm_process import WarmProcess
from warm_worker import WarmWorkers

from aya_core.cli import all_commands
from aya_core.planning.registry import Registry

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton: its kernels then run on a CPU
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: workers share the cores

OF_FEW = ("mergekit", "tensorboard", "trackio", "wandb")
"""Libraries that one strategy each imports: they may be absent, and take long."""

ROOT = Path(__file__).parent.parent
PLUGINS = tuple(entry.module for entry in entry_points(group="aya"))

STARTING_WORKERS = {"run", "train", "arbitrate", "evaluate"}
"""Commands whose steps are done by a worker."""

STARTING = {"comet", "forked", "vllm_options", "vllm_server", "warm_workers"}
"""Fixtures whose tests start processes. They get the marker `processes`."""


def pytest_collection_modifyitems(items):
    for item in items:
        if STARTING.intersection(item.fixturenames):
            item.add_marker("processes")


@pytest.fixture(scope="session")
def warm_workers():
    """Start what forks workers, once for each kind; returns what `aya` is to take for Python. See `aya_command`."""
    started = {}

    def executable(kind):
        if kind not in started:
            strategies = [one for named in Registry().strategies.values() for one in named.values()]
            imports = {"torch": dict.fromkeys(name for one in strategies for name in one.imports), "light": {}}[kind]
            common = [name for name in imports if name.split(".")[0] not in OF_FEW]
            started[kind] = WarmWorkers("aya_core.running.worker", "pyarrow.parquet", *PLUGINS, *common)
        return started[kind].executable

    yield executable
    for one in started.values():
        one.end()


@pytest.fixture(scope="session")
def aya_command(warm_workers):
    """Run the command `aya` in a process of its own; returns the finished process with text output.

    The process is forked from one that has the imports of the command behind it. So is the worker that a run starts: from one with
    those of all strategies (torch), or of the worker itself (light); a new one is started as for a user.
    """
    warm = WarmProcess(*(command.target.partition(":")[0] for command in all_commands().values()), *PLUGINS)

    def run(*words, env=None, cwd=None, worker="torch"):
        environment = {**os.environ, "COLUMNS": "200", **(env or {})}
        task = {"call": "aya_core.cli:main", "words": words, "environment": environment}
        if cwd:
            task["cwd"] = cwd
        if words[0] in STARTING_WORKERS and worker != "new":
            task["executable"] = str(warm_workers(worker))
        return warm.run(task)

    yield run
    warm.end()


@pytest.fixture(scope="session")
def strangers(tmp_path_factory):
    """A new environment with aya-core and the example plugins installed from built wheels; returns a function that runs in it.

    It takes the words after `python`, and the arguments of `subprocess.Popen` where it is to start something and not wait.
    """
    folder = tmp_path_factory.mktemp("clean")
    wheels = folder / "wheels"
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    for project in (ROOT, ROOT / "examples" / "third_party_arbiter", ROOT / "examples" / "third_party_stage"):
        subprocess.run([*wheel, "--wheel-dir", wheels, project], check=True)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wheels.glob("*.whl"), "pytest"], check=True)

    def run(*words, cwd=folder, start=None):
        command = [python, *map(str, words)]
        if start is not None:
            return subprocess.Popen(command, cwd=cwd, **start)
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)

    return run


@pytest.fixture(scope="session")
def shared_data():
    """Real data for trying, which is not part of the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: this test needs the real data sets that are kept there")
    return folder
