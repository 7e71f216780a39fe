"""Fixtures: recipes that run whole in a second, and what their runs left."""

import json
import shutil

import pytest
from noting_folder import Folder
from places import SHARED

from aya_core.planning import yaml12


@pytest.fixture
def cheap(tmp_path):
    """A folder with the cheap recipe and its plugin."""
    for name in ("cheap.yaml", "cheap_plugin.py"):
        shutil.copy(SHARED / name, tmp_path / name)
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
        shutil.copy(SHARED / name, folder)
    output = aya_command("run", folder / "cheap.yaml", "--out", folder / "out", "-q", worker="light")
    assert output.returncode == 0, output.stderr
    return folder / "out"


@pytest.fixture
def done(finished, tmp_path):
    """A copy of the finished run, to do with as one likes."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def folder(tmp_path, aya):
    """A folder with an arbitrage recipe whose teachers and arbiter take notes."""
    return Folder(tmp_path, aya)
