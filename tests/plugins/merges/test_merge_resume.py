"""A merge that is stopped goes on after the last whole shard."""

import signal
import subprocess
import sys
import time

import pytest
import yaml
from checkpoints import job, load, merge, same_bits

from aya_core.api import DataError, Means, Piece, hookimpl  # noqa: F401 (hookimpl: see SLOW)
from aya_plugins.merges import Weighted
from aya_plugins.merges.engine.streaming import StreamingMerge

ALONE = Means(threads=1)
"""In this process, so that tests see what is done."""


class Counting:
    """A weighted merge that counts its tensors, and may stop at one of them."""

    needs_base = False

    def __init__(self, stop_at=None):
        self.seen = []
        self.stop_at = stop_at

    def survey(self, pieces, weights, place):
        self.seen.append(place.name)
        if place.name == self.stop_at:
            raise KeyboardInterrupt
        return Weighted().build().survey(pieces, weights, place)


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_whole_shards_are_not_made_again(three, out, tmp_path, scratch):
    models = three[1:]
    stopped = Counting(stop_at="model.layers.10.mlp.weight")
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge([(stopped, job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE))])
    assert not list(out.iterdir())
    again = Counting()
    (account,) = StreamingMerge().merge([(again, job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE))])
    assert again.seen == ["model.layers.10.mlp.weight", "model.norm.weight"]
    fresh = merge(Weighted(), models, tmp_path / "fresh", shard_bytes=2000)
    assert same_bits(load(out), load(tmp_path / "fresh"))
    assert account["inputs"] == fresh["inputs"]
    assert not list(scratch.rglob("*.safetensors"))


@pytest.mark.parametrize("change", [{"seed": 1}, {"weights": [1.0, 3.0]}, {"dtype": "float16"}, {"shard_bytes": 900}])
def test_another_merge_starts_anew(change, three, out, scratch):
    models = three[1:]
    begun = job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE)
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge([(Counting(stop_at="model.norm.weight"), begun)])
    again = Counting()
    settings = {"shard_bytes": 2000, **change}
    StreamingMerge().merge([(again, job(models, out, scratch=scratch, means=ALONE, **settings))])
    assert len(again.seen) == 5


def test_a_changed_input_starts_the_merge_anew(three, out, scratch, write_model, random_tensors):
    models = three[1:]
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge(
            [(Counting(stop_at="model.norm.weight"), job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE))]
        )
    other = write_model("other", random_tensors(9))
    (other / "model.safetensors").replace(three[1] / "model.safetensors")
    again = Counting()
    StreamingMerge().merge([(again, job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE))])
    assert len(again.seen) == 5


def test_bad_values_late_in_a_model_leave_whole_shards_and_no_checkpoint(
    three, out, scratch, write_model, random_tensors
):
    broken = random_tensors(5)
    broken["model.norm.weight"][0] = float("nan")
    models = [three[1], write_model("broken", broken)]
    with pytest.raises(DataError, match=r"'broken': tensor 'model.norm.weight' has NaN"):
        StreamingMerge().merge([(Weighted().build(), job(models, out, scratch=scratch, shard_bytes=2000, means=ALONE))])
    assert not list(out.iterdir())
    assert len(list(scratch.rglob("*.safetensors"))) == 2
    assert not list(scratch.rglob("*.building"))


SLOW = """
import time
from aya_core.api import hookimpl
import aya_plugins.merges.ties as ties
survey = ties.TiesMerge.survey
def slowly(self, pieces, weights, place):
    time.sleep(0.3)
    return survey(self, pieces, weights, place)
ties.TiesMerge.survey = slowly
from aya_core.cli import main
main()
"""


def test_a_killed_command_goes_on_and_gives_the_same_bits(tmp_path, write_model, random_tensors):
    folders = [write_model(name, random_tensors(seed)) for seed, name in enumerate(("base", "a", "b"))]
    config = {
        "merge_method": "ties",
        "base_model": str(folders[0]),
        "models": [{"model": str(folder), "parameters": {"weight": 0.5, "density": 0.4}} for folder in folders[1:]],
    }
    (tmp_path / "merge.yml").write_text(yaml.safe_dump(config))

    def command(out, code=SLOW):
        return [
            sys.executable,
            "-c",
            code,
            "merge",
            str(tmp_path / "merge.yml"),
            str(out),
            "--max-shard-gb",
            "0.0000009",
        ]

    out, partial = tmp_path / "out", tmp_path / "out.partial"
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while not list(partial.rglob("*.safetensors.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    whole = {path.name.removesuffix(".json") for path in partial.rglob("*.safetensors.json")}
    kept = {path.name: path.stat().st_mtime_ns for path in partial.rglob("*.safetensors") if path.name in whole}
    assert kept
    assert not out.exists()
    subprocess.run(command(out), check=True, capture_output=True)
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    assert not partial.exists()
    for path in out.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert kept.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
