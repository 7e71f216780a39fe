"""Fixtures of the core's tests: the cheap recipe, and the command line in a process of its own."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from evaluated_runs import evaluate
from noting_folder import Folder

from aya_core import cli
from aya_core.contract.errors import AyaError
from aya_core.planning import yaml12

HERE = Path(__file__).parent


@pytest.fixture
def cheap(tmp_path):
    """A folder with the cheap recipe and its plugin."""
    for name in ("cheap.yaml", "cheap_plugin.py"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path / "cheap.yaml"


@pytest.fixture
def edit(cheap):
    """Edit the cheap recipe as data; returns its path."""

    def change(function):
        raw = yaml12.parse(cheap.read_text(), str(cheap))
        function(raw)
        cheap.write_text(json.dumps(raw))
        return cheap

    return change


@pytest.fixture(scope="session")
def finished(tmp_path_factory, aya_command):
    """A finished run of the cheap recipe."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("cheap.yaml", "cheap_plugin.py"):
        shutil.copy(HERE / name, folder)
    told = aya_command("run", folder / "cheap.yaml", "--out", folder / "out", "-q", worker="light")
    assert told.returncode == 0, told.stderr
    return folder / "out"


@pytest.fixture
def done(finished, tmp_path):
    """A copy of the finished run, to do with as one likes."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def folder(tmp_path, aya):
    """A folder with an arbitrage recipe whose teachers and arbiter take notes."""
    return Folder(tmp_path, aya)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory):
    """A run folder in which two models were evaluated by two evaluators, and what was printed. Copy it to change it."""
    return evaluate(tmp_path_factory.mktemp("evaluated"))


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
