"""Several merges from one read."""

import pytest
import torch
from checkpoints import job, load, merge, same_bits

from aya_core.api import Resources
from aya_plugins.merges import DareTies, Slerp, Ties, Weighted
from aya_plugins.merges.files.checkpoint import OpenFile
from aya_plugins.merges.runtime.streaming import StreamingMerge

ALL = [Weighted(), Slerp(t=0.3), Ties(density=0.4), DareTies(density=0.5), Ties(density=0.4, trim="global")]


def test_merges_together_give_the_bits_of_each_alone(three, tmp_path):
    base, *models = three
    jobs, alone = [], []
    for index, settings in enumerate(ALL):
        with_base = base if settings.build().needs_base else None
        jobs.append((settings.build(), job(models, tmp_path / f"together-{index}", base=with_base, seed=index)))
        merge(settings, models, tmp_path / f"alone-{index}", base=base, seed=index)
        alone.append(load(tmp_path / f"alone-{index}"))
    StreamingMerge().merge(jobs)
    for index, expected in enumerate(alone):
        assert same_bits(load(tmp_path / f"together-{index}"), expected)


@pytest.fixture
def bytes_read(monkeypatch):
    counted = []
    read = OpenFile.read

    def counting(self, into, offset):
        counted.append(len(into))
        return read(self, into, offset)

    monkeypatch.setattr(OpenFile, "read", counting)
    return counted


def test_a_grid_of_weights_reads_its_models_once(three, tmp_path, bytes_read):
    grid = [[1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]
    jobs = [
        (Weighted().build(), job(three, tmp_path / str(index), weights=weights, resources=Resources(threads=1)))
        for index, weights in enumerate(grid)
    ]
    accounts = StreamingMerge().merge(jobs)
    assert sum(bytes_read) == sum(4 * value.numel() for folder in three for value in load(folder).values())
    assert [entry["weight"] for entry in accounts[2]["inputs"]] == [0.2, 0.3, 0.5]
    for name, value in load(tmp_path / "1").items():
        assert torch.equal(value, load(three[0])[name])
