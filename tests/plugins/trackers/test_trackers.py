"""What the libraries themselves read of a run that was tracked."""

import json
import math
import shutil
import struct

import pytest
from places import SHARED

STEPS = 40


@pytest.fixture
def run_tracked(tmp_path, aya_command):
    """Run two fast training steps with trackers; returns the run folder."""
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    train = {"do": "train", "trainer": {"use": "fast", "steps": STEPS}, "data": {"use": "sums"}}
    stages = [{"name": name, **train} for name in ("first", "second")]
    raw = {"name": "tracked", "languages": ["en", "de"], "plugins": ["tracking_plugin.py"], "stages": stages}
    (tmp_path / "recipe.json").write_text(json.dumps(raw))

    def run(*words, env=None):
        words = [word for spec in words for word in ("--track", spec)]
        done = aya_command("run", "recipe.json", "--out", "out", "--json", *words, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["recipe"] == "tracked"
        assert "told no more" not in done.stderr, (tmp_path / "out" / "logs" / "trackers.log").read_text()
        return tmp_path / "out"

    return run


def test_tensorboard_reads_every_step_of_every_node(run_tracked):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run_tracked("tensorboard") / "tensorboard"
    assert {path.name for path in folder.iterdir()} == {"first.data", "first", "second.data", "second"}
    for node in ("first", "second"):
        read = EventAccumulator(str(folder / node), size_guidance={"scalars": 0})
        read.Reload()
        assert [(event.step, event.value) for event in read.Scalars("loss")] == [
            (step, pytest.approx(1 / step)) for step in range(1, STEPS + 1)
        ]
        assert math.isnan(read.Scalars("rewards/margins")[6].value)
        assert [(event.step, event.value) for event in read.Scalars("final/loss")] == [
            (STEPS, pytest.approx(1 / STEPS))
        ]


def test_weights_and_biases_keeps_every_step_offline_and_nothing_else(run_tracked):
    wandb = pytest.importorskip("wandb")
    folder = run_tracked("wandb,mode=offline,project=mine") / "wandb"
    (file,) = folder.glob("offline-run-*/run-*.wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    assert wandb.__version__
    records = [Record.FromString(data) for data in leveldb_log(file.read_bytes()[7:])]
    (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group) == ("mine", "out")
    lines = [{item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json) for item in r.history.item}
             for r in records if r.WhichOneof("record_type") == "history"]  # fmt: skip
    for node in ("first", "second"):
        output = [(line[f"{node}/step"], line[f"{node}/loss"]) for line in lines if f"{node}/step" in line]
        assert output == [(step, pytest.approx(1 / step)) for step in range(1, STEPS + 1)]
    kinds = {record.WhichOneof("record_type") for record in records}
    assert not kinds & {"stats", "output", "output_raw", "artifact", "environment"}
    (ended,) = [record.exit for record in records if record.WhichOneof("record_type") == "exit"]
    assert ended.exit_code == 0


def leveldb_log(data):
    """Records of a log in LevelDB's format: blocks of 32 KiB, each chunk after a checksum, its length and its type."""
    whole, place = b"", 7  # the header of the file is part of the first block
    start = 0
    while start + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            start, place = start + left, place + left
            continue
        _, length, kind = struct.unpack("<IHB", data[start : start + 7])
        whole += data[start + 7 : start + 7 + length]
        start, place = start + 7 + length, place + 7 + length
        if kind in (1, 4):  # full, last
            yield whole
            whole = b""


def test_trackio_holds_every_step(run_tracked, tmp_path):
    pytest.importorskip("trackio", reason="trackio needs pillow < 13, which the development environment does not hold")
    import sqlite3

    run_tracked("trackio", env={"TRACKIO_DIR": str(tmp_path / "trackio")})
    with sqlite3.connect(tmp_path / "trackio" / "tracked.db") as database:
        rows = [
            (step, json.loads(line)) for step, line in database.execute("SELECT step, metrics FROM metrics ORDER BY id")
        ]
    for node in ("first", "second"):
        output = [(step, line[f"{node}/loss"]) for step, line in rows if f"{node}/loss" in line]
        assert output == [(step, pytest.approx(1 / step)) for step in range(1, STEPS + 1)]
