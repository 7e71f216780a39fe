"""Fixtures: the command line, in a process of its own or in this one."""

import os
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from warm_process import WarmProcess
from warm_worker import WarmWorkers

from aya_core import cli
from aya_core.cli import all_commands
from aya_core.contract.errors import AyaError
from aya_core.planning.registry import Registry

OF_FEW = ("mergekit", "tensorboard", "trackio", "wandb")
"""Libraries that one strategy each imports: they may be absent, and take long."""

PLUGINS = tuple(entry.module for entry in entry_points(group="aya"))

STARTING_WORKERS = {"run", "train", "arbitrate", "evaluate"}
"""Commands whose steps are done by a worker."""


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
    warm = WarmProcess(*(command.target.partition(":")[0] for command in all_commands().values()), "warm_plan")

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


@pytest.fixture
def aya(aya_command):
    """Run the command `aya` and check its exit code."""

    def run(*words, check=None, env=None, cwd=None):
        done = aya_command(*words, env=env, cwd=cwd, worker="light")
        if check is not None:
            assert done.returncode == check, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def aya_here(tmp_path, monkeypatch, warm_workers):
    """Run the command `aya` in this process, which costs no start, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(warm_workers("light")))

    def run(*words, check=0, env=None):
        done = CliRunner().invoke(cli.aya, [str(word) for word in words], env={"COLUMNS": "200", **(env or {})})
        mistake = isinstance(done.exception, AyaError)
        if done.exception and not mistake and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert (2 if mistake else done.exit_code) == check, f"{done.output}{done.exception}"
        return SimpleNamespace(stdout=done.stdout, stderr=f"{done.stderr}{done.exception or ''}")

    return run
