"""Training that a launcher's processes do together."""

import fcntl
import json
import shutil
import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def pair(edit, cheap):
    """Write a recipe of one training by two processes; returns the file."""
    for name in ("launched_plugin.py", "two_processes.py"):
        shutil.copy(HERE / name, cheap.parent / name)

    def write(**settings):
        def change(raw):
            raw["plugins"].append("launched_plugin.py")
            data = {"use": "sums", "demonstrations": True}
            raw["stages"] = [{"name": "pair", "do": "train", "trainer": {"use": "together", **settings}, "data": data}]

        return edit(change)

    return write


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def test_both_processes_do_the_job_and_the_first_one_reports(pair, aya, tmp_path):
    out = tmp_path / "run"
    aya("run", pair(), "--out", out, check=0)
    manifest = only(out, "artifacts/pair/*/artifact.json")
    assert json.loads(manifest.read_text())["measures"] == {"process": 0.0}
    jobs = {(manifest.parent / "payload" / f"process-{rank}").read_text() for rank in range(2)}
    assert len(jobs) == 1
    (line,) = (manifest.parent / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["process"] == 0.0
    replied = (out / "logs" / "pair.log").read_text().splitlines()
    assert sorted(replied) == ["process 0 says hello", "process 1 says hello"]


def test_a_mistake_that_one_process_meets_is_the_message_of_the_run(pair, aya, tmp_path):
    ended = aya("run", pair(mistake="rows are upside down; turn them"), "--out", tmp_path / "run", check=2)
    assert "step 'pair': rows are upside down; turn them" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bug_of_one_process_is_named_with_the_log_that_has_its_traceback(pair, aya, tmp_path):
    out = tmp_path / "run"
    ended = aya("run", pair(bug="the engine is on fire"), "--out", out, check=2)
    assert "step 'pair' failed: ProcessesError: process 1: RuntimeError: the engine is on fire" in ended.stderr
    assert str(out / "logs" / "pair.log") in ended.stderr
    assert "Traceback" in (out / "logs" / "pair.log").read_text()


def test_the_processes_end_with_the_run_that_is_killed(pair, aya, tmp_path):
    alive = tmp_path / "alive"
    alive.mkdir()
    aya("run", pair(alive=str(alive)), "--out", tmp_path / "run", check=-signal.SIGKILL)
    for rank in range(2):
        with (alive / str(rank)).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # which each holds for as long as it lives
