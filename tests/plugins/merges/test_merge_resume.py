"""A merge that is stopped goes on after the last whole shard."""

import os
import signal

import pytest
import yaml
from checkpoints import job, load, merge, same_bits
from warm_process import WarmProcess

from aya_core.api import DataError, Resources
from aya_plugins.merges import Weighted
from aya_plugins.merges.runtime.streaming import StreamingMerge

ALONE = Resources(threads=1)
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
        StreamingMerge().merge([(stopped, job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE))])
    assert not list(out.iterdir())
    again = Counting()
    (account,) = StreamingMerge().merge([(again, job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE))])
    assert again.seen == ["model.layers.10.mlp.weight", "model.norm.weight"]
    fresh = merge(Weighted(), models, tmp_path / "fresh", shard_bytes=2000)
    assert same_bits(load(out), load(tmp_path / "fresh"))
    assert account["inputs"] == fresh["inputs"]
    assert not list(scratch.rglob("*.safetensors"))


@pytest.mark.parametrize("damage", ["flip", "cut", "notes"])
def test_a_damaged_shard_is_set_aside_and_made_again(damage, three, out, tmp_path, scratch, capsys):
    models = three[1:]
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge(
            [
                (
                    Counting(stop_at="model.norm.weight"),
                    job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE),
                )
            ]
        )
    shard = min(scratch.rglob("*.safetensors"))
    harmed = shard.with_name(shard.name + ".json") if damage == "notes" else shard
    data = bytearray(harmed.read_bytes())
    data[-9] ^= 1
    harmed.write_bytes(data[:-8] if damage == "cut" else data)
    StreamingMerge().merge([(Counting(), job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE))])
    merge(Weighted(), models, tmp_path / "fresh", shard_bytes=2000)
    assert same_bits(load(out), load(tmp_path / "fresh"))
    assert f"The shard is made again; what was there is kept as {shard}.damaged" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"seed": 1}, {"weights": [1.0, 3.0]}, {"dtype": "float16"}, {"shard_bytes": 900}])
def test_another_merge_starts_anew(change, three, out, scratch):
    models = three[1:]
    begun = job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE)
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge([(Counting(stop_at="model.norm.weight"), begun)])
    again = Counting()
    settings = {"shard_bytes": 2000, **change}
    StreamingMerge().merge([(again, job(models, out, scratch=scratch, resources=ALONE, **settings))])
    assert len(again.seen) == 5


def test_a_changed_input_starts_the_merge_anew(three, out, scratch, write_model, random_tensors):
    models = three[1:]
    with pytest.raises(KeyboardInterrupt):
        StreamingMerge().merge(
            [
                (
                    Counting(stop_at="model.norm.weight"),
                    job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE),
                )
            ]
        )
    other = write_model("other", random_tensors(9))
    (other / "model.safetensors").replace(three[1] / "model.safetensors")
    again = Counting()
    StreamingMerge().merge([(again, job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE))])
    assert len(again.seen) == 5


def test_bad_values_late_in_a_model_leave_whole_shards_and_no_checkpoint(
    three, out, scratch, write_model, random_tensors
):
    broken = random_tensors(5)
    broken["model.norm.weight"][0] = float("nan")
    models = [three[1], write_model("broken", broken)]
    with pytest.raises(DataError, match=r"'broken': tensor 'model.norm.weight' has NaN"):
        StreamingMerge().merge(
            [(Weighted().build(), job(models, out, scratch=scratch, shard_bytes=2000, resources=ALONE))]
        )
    assert not list(out.iterdir())
    assert len(list(scratch.rglob("*.safetensors"))) == 2
    assert not list(scratch.rglob("*.building"))


KILLED = """
import os, signal, sys
from pathlib import Path
from aya_plugins.merges.runtime.run import MergeRun
done = MergeRun.done
def killed_after_a_shard(self, *given):
    done(self, *given)
    if any(Path(sys.argv[3] + ".partial").rglob("*.safetensors.json")):
        os.kill(os.getpid(), signal.SIGKILL)
MergeRun.done = killed_after_a_shard
from aya_core.cli import main
main()
"""


@pytest.fixture
def merge_command(tmp_path):
    """Run `aya merge`, or a script in its place, forked from a process that has the imports of merging behind it."""
    warm = WarmProcess("torch", "aya_recipe.merge.command", "aya_plugins.merges.ties", "aya_plugins.merges.runtime.run")

    def run(*words, script=None):
        task = {"words": ["merge", *words], "environment": dict(os.environ)}
        if script is None:
            return warm.run({**task, "call": "aya_core.cli:main"})
        (tmp_path / "script.py").write_text(script)
        return warm.run({**task, "file": tmp_path / "script.py"})

    yield run
    warm.end()


def test_a_killed_command_goes_on_and_gives_the_same_bits(tmp_path, three, merge_command):
    config = {
        "merge_method": "ties",
        "base_model": str(three[0]),
        "models": [{"model": str(folder), "parameters": {"weight": 0.5, "density": 0.4}} for folder in three[1:]],
    }
    (tmp_path / "merge.yml").write_text(yaml.safe_dump(config))
    out, partial = tmp_path / "out", tmp_path / "out.partial"

    def run(folder, **how):
        return merge_command(tmp_path / "merge.yml", folder, "--max-shard-gb", "0.0000009", **how)

    assert run(out, script=KILLED).returncode == -signal.SIGKILL
    whole = {path.name.removesuffix(".json") for path in partial.rglob("*.safetensors.json")}
    kept = {path.name: path.stat().st_mtime_ns for path in partial.rglob("*.safetensors") if path.name in whole}
    assert kept
    assert not out.exists()
    for folder in (out, tmp_path / "whole"):
        done = run(folder)
        assert done.returncode == 0, done.stderr
    assert not partial.exists()
    shards = list(out.glob("*.safetensors"))
    assert len(shards) > len(kept)
    for path in shards:
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert kept.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
