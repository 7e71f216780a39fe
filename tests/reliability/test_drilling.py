"""A few kills of `make drill`, on the recipe that costs nothing; and what the drill finds where there is something to be found."""

import os
import subprocess
import sys

import pytest
from places import ROOT, SHARED

pytestmark = pytest.mark.processes

DRILL = ROOT / "reliability" / "drill.py"

WITHOUT_FLUSHES = """
import sys
sys.path.insert(0, {folder!r})
import drill
from aya_core.contract import durable
durable._flush_one = lambda path: None
drill.main()
"""


def drill(*words, code=None):
    start = [DRILL] if code is None else ["-c", code]
    command = [sys.executable, *start, "--recipe", SHARED / "cheap.yaml", *words]
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=SHARED, env={**os.environ, "TQDM_DISABLE": "1"}
    )


def test_killed_runs_end_as_an_undisturbed_one():
    done = drill("--kills", 8, "--seed", 1)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout.splitlines()[-1]


@pytest.mark.exhaustive
def test_power_cuts_do_harm_where_nothing_is_flushed():
    done = drill("--kills", 20, "--seed", 1, "--only", "power", code=WITHOUT_FLUSHES.format(folder=str(DRILL.parent)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FOUND" in done.stdout
