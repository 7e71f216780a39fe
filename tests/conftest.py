"""Fixtures of all tests."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from places import ROOT

pytest_plugins = ["commands", "cheap_runs"]

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton: its kernels then run on a CPU
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: workers share the cores

STARTING = {"comet", "forked", "vllm_options", "vllm_server", "warm_workers"}
"""Fixtures whose tests start processes. They get the marker `processes`."""


def pytest_collection_modifyitems(items):
    """Mark what starts processes; begin with the micro recipe, which takes longest, lest it run alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_micro.py")
    for item in items:
        if STARTING.intersection(item.fixturenames):
            item.add_marker("processes")


@pytest.fixture(scope="session")
def strangers(tmp_path_factory):
    """A new environment with aya-core and the example plugins installed from built wheels; returns a function that runs in it.

    It takes the words after `python`, a folder of what else is installed, as all tests share the environment, and the arguments of
    `subprocess.Popen` where it is to start something and not wait.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # of all workers, which share the environment
    folder = base / "clean"
    python = folder / "env" / "bin" / "python"
    with (base / "clean.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder / "wheels", python)

    def run(*words, cwd=folder, start=None, path=None):
        command = [python, *map(str, words)]
        if start is not None:
            return subprocess.Popen(command, cwd=cwd, **start)
        more = {} if path is None else {"PYTHONPATH": str(path)}
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env={**os.environ, **more})

    return run


def _install(wheels, python):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    for project in (ROOT, ROOT / "examples" / "third_party_arbiter", ROOT / "examples" / "third_party_stage"):
        build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, project]
        subprocess.run(build, check=True)
    venv.create(python.parent.parent)
    install = [*pip, "--python", python, "install", "--no-compile", *wheels.glob("*.whl"), "pytest"]
    subprocess.run(install, check=True)


@pytest.fixture(scope="session")
def vllm_options():
    """Settings of a vLLM engine that starts quickly and takes little memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHDYNAMO_DISABLE", "1")  # or the first random sample waits 25 seconds for a compiled sampler
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")  # or it logs, at exit, into streams that pytest has closed
        yield {"dtype": "float32", "engine": {"enforce_eager": True, "kv_cache_memory_bytes": 2**28}}


@pytest.fixture(scope="session")
def shared_data():
    """Real data for trying, which is not part of the project; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the project: this test needs the real data sets that are kept there")
    return folder
