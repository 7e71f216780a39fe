"""The power is cut at any moment of a merge; the next one makes the same bits."""

import random

from checkpoints import job, load, merge, same_bits
from power_cut import Disk

from aya_core.api import Resources
from aya_plugins.merges import Weighted
from aya_plugins.merges.runtime.streaming import StreamingMerge

CUTS = 16


def test_after_a_power_cut_a_merge_makes_the_same_bits(three, tmp_path, monkeypatch):
    rng = random.Random(5)
    models = three[1:]
    merge(Weighted(), models, tmp_path / "undisturbed", shard_bytes=2000)

    def go(scratch, out):
        out.mkdir()
        StreamingMerge().merge(
            [(Weighted().build(), job(models, out, scratch=scratch, shard_bytes=2000, resources=Resources(threads=1)))]
        )
        assert same_bits(load(out), load(tmp_path / "undisturbed"))

    disk = Disk(tmp_path / "scratch")
    disk.root.mkdir()
    with disk.watched(monkeypatch):
        go(disk.root, tmp_path / "out")
    for number, cut in enumerate(rng.sample(disk.cuts, CUTS)):
        cut.restore(tmp_path / f"scratch-{number}", rng)
        go(tmp_path / f"scratch-{number}", tmp_path / f"out-{number}")
