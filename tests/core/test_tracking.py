"""Trackers: they are told everything, and harm nothing."""

import json
import shutil
import subprocess
import sys

import pytest
from places import SHARED

from aya_core.running.tracking import LogReader

STEPS = 1500


@pytest.fixture
def tracked(tmp_path, aya_here):
    """A recipe that trains once, fast; returns a function that runs it."""
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    raw = {
        "name": "tracked",
        "languages": ["en", "de"],
        "plugins": ["tracking_plugin.py"],
        "trackers": [{"use": "noting", "file": str(tmp_path / "notes")}],
        "stages": [{"name": "fast", "do": "train", "trainer": {"use": "fast"}, "data": {"use": "sums"}}],
    }

    def run(*words, check=0, env=None, **changes):
        (tmp_path / "recipe.json").write_text(json.dumps({**raw, **changes}))
        return aya_here("run", tmp_path / "recipe.json", "--out", tmp_path / "out", *words, check=check, env=env)

    return run


def notes(folder):
    return [json.loads(line) for line in (folder / "notes").read_text().splitlines()]


def test_a_tracker_is_told_every_line_however_fast_they_come(tracked, tmp_path):
    """Progress events are limited to a few a second; the trainer reports all its steps in less than that."""
    env = {"NOTE_MEASURED": str(tmp_path / "measured"), "NOTE_PROGRESS": str(tmp_path / "progress")}
    output = tracked("--json", env=env)
    assert json.loads(output.stdout)["recipe"] == "tracked"  # what trackers print is no part of it
    assert "trackers may print" in output.stderr
    start, data, *logged, finished, closed = notes(tmp_path)
    assert start == ["start", "tracked", str(tmp_path / "out"), "tracked"]
    assert data == ["finish", "fast.data", {"rows": 8}]
    assert [line[:3] for line in logged] == [["log", "fast", step] for step in range(1, STEPS + 1)]
    assert logged[0][3] == {"loss": 1.0, "rewards/margins": 1}
    assert str(logged[6][3]["rewards/margins"]) == "nan"
    assert finished == ["finish", "fast", {"loss": 1 / STEPS}]
    assert closed == ["close", True]
    assert (tmp_path / "measured").read_text().splitlines() == [f"fast {step}" for step in range(1, STEPS + 1)]
    assert len((tmp_path / "progress").read_text().splitlines()) < STEPS / 10


@pytest.mark.parametrize("method", ["build", "start", "log", "finish", "close"])
def test_a_tracker_that_fails_is_reported_once_and_harms_nothing(tracked, tmp_path, method):
    trackers = [{"use": "failing", "at": method}, {"use": "noting", "file": str(tmp_path / "notes")}]
    output = tracked("-q", trackers=trackers)
    assert output.stderr.count("nobody listens") == 1
    assert "tracker 'failing' failed and is told no more; the run goes on" in output.stderr
    assert "Traceback" not in output.stderr
    assert "Traceback" in (tmp_path / "out" / "logs" / "trackers.log").read_text()
    assert len(notes(tmp_path)) == STEPS + 4


def test_a_tracker_is_no_part_of_what_is_made(tracked, tmp_path):
    tracked("-q", trackers=[])
    assert not (tmp_path / "notes").exists()
    output = tracked()
    assert "2 of 2 steps stood already" in output.stderr
    assert not (tmp_path / "notes").exists()  # nothing was measured, so nobody was told


def test_a_killed_run_goes_on_and_tells_the_rest(tracked, tmp_path):
    (tmp_path / "die").touch()
    stages = [
        {
            "name": "fast",
            "do": "train",
            "trainer": {"use": "fast", "die": str(tmp_path / "die")},
            "data": {"use": "sums"},
        }
    ]
    tracked("-q", stages=stages, check=2)
    assert notes(tmp_path)[-1] == ["close", False]
    assert [line[2] for line in notes(tmp_path) if line[0] == "log"] == list(range(1, STEPS // 2 + 1))
    (tmp_path / "notes").unlink()
    tracked("-q", stages=stages)
    assert [line[2] for line in notes(tmp_path) if line[0] == "log"] == list(range(1, STEPS + 1))
    assert notes(tmp_path)[-1] == ["close", True]


def test_a_run_that_fails_is_told_as_such(tracked, tmp_path):
    stages = [{"name": "fast", "do": "train", "trainer": {"use": "fast", "fails": True}, "data": {"use": "sums"}}]
    tracked("-q", stages=stages, check=2)
    assert notes(tmp_path)[-1] == ["close", False]
    assert notes(tmp_path)[-2][:3] == ["log", "fast", STEPS]


def test_trackers_can_be_named_on_the_command_line(tracked, tmp_path):
    tracked("-q", "--track", f"noting,file={tmp_path / 'more'}", "--track", "{use: failing, at: log}")
    assert (tmp_path / "more").read_text() == (tmp_path / "notes").read_text()
    assert "did you mean 'noting'" in tracked("--track", "notin", check=2).stderr
    assert "--track: 'file' is missing" in tracked("--track", "noting,fil=x", check=2).stderr


def test_a_missing_library_is_named_before_anything_is_done(tracked, tmp_path):
    output = tracked("--track", "missing", check=2)
    assert (
        "trackers: needs the module 'no_such_library'; install the extra: pip install \"file[nowhere]\""
        in output.stderr
    )
    assert not (tmp_path / "out").exists()


def test_without_a_tracker_no_library_is_imported_and_nothing_is_sent(tmp_path):
    """The run would fail where it opened a connection."""
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    (tmp_path / "deaf.py").write_text(
        "import socket\nfrom aya_core.api import hookimpl\ndef refuse(*words):\n    raise AssertionError(words)\n"
        "socket.socket.connect = refuse\n@hookimpl\ndef aya_step_failed(node, message):\n    pass\n"
    )
    stage = {"name": "fast", "do": "train", "trainer": {"use": "fast", "steps": 3}, "data": {"use": "sums"}}
    raw = {"name": "quiet", "plugins": ["deaf.py", "tracking_plugin.py"], "stages": [stage]}
    (tmp_path / "recipe.json").write_text(json.dumps(raw))
    code = f"""
import sys
sys.argv = ["aya", "run", "recipe.json", "--out", {str(tmp_path / "out")!r}]
from aya_core.cli import main
main()
import aya_plugins.trackers.wandb, socket
assert socket.socket.connect.__name__ == "refuse"
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not {"wandb", "tensorboard", "trackio"} & {name.split(".")[0] for name in done.stdout.split()}


def test_a_log_is_read_line_by_line_through_its_renaming(tmp_path):
    folder = tmp_path / "abc"
    partial = tmp_path / "abc.partial"
    partial.mkdir()
    log = partial / "log.jsonl"
    log.write_text('{"done": 1, "total": 4, "time": 0, "loss": 9}\n{"done": 2, "to')  # of a killed run
    reader = LogReader(folder)
    assert list(reader.lines()) == []
    with log.open("a") as file:
        file.write(
            '{"done": 1, "total": 4, "time": 0, "loss": 3}\n{"done": 2, "total": 4, "time": 0, "loss": 2}\n{"done"'
        )
    assert list(reader.lines()) == [(1, 4, {"loss": 3}), (2, 4, {"loss": 2})]
    with log.open("a") as file:
        file.write(': 3, "total": 4, "time": 0, "loss": 1}\n')
    partial.rename(folder)
    assert list(reader.lines()) == [(3, 4, {"loss": 1})]
    assert list(reader.lines()) == []
