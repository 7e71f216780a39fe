"""A few kills of `make drill`, on the recipe that costs nothing; and what the drill finds where there is something to be found."""

import shutil
import subprocess
import sys

import pytest
from places import ROOT, SHARED

from aya_core.planning import yaml12

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


@pytest.fixture
def drill(tmp_path):
    """Drill the first stages of the cheap recipe, up to a merge."""
    shutil.copy(SHARED / "cheap_plugin.py", tmp_path)
    raw = yaml12.parse((SHARED / "cheap.yaml").read_text(), "cheap.yaml")
    raw["stages"] = raw["stages"][:5]
    raw["stages"][2]["sampling"] = {"max_tokens": 8}  # so that a shard holds eight answers
    (tmp_path / "cheap.yaml").write_text(yaml12.dump(raw))

    def run(*words, code=None):
        start = [DRILL] if code is None else ["-c", code]
        command = [sys.executable, *start, "--recipe", tmp_path / "cheap.yaml", *words]
        return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=tmp_path)

    return run


def test_killed_runs_end_as_an_undisturbed_one(drill):
    done = drill("--kills", 4, "--seed", 1)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout.splitlines()[-1]


@pytest.mark.exhaustive
def test_power_cuts_do_harm_where_nothing_is_flushed(drill):
    done = drill("--kills", 20, "--seed", 1, "--only", "power", code=WITHOUT_FLUSHES.format(folder=str(DRILL.parent)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FOUND" in done.stdout
