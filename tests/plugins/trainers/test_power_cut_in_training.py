"""The power is cut at any moment of a training; the next one ends as an undisturbed one, to the bit."""

import random

import torch
from power_cut import Disk
from safetensors.torch import load_file

from aya_plugins.trainers.sft import Sft

SETTINGS = {"batch_rows": 8, "steps": 6, "learning_rate": 1e-2, "checkpoint_seconds": 0}
CUTS = 12


def weights(folder):
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_after_a_power_cut_training_ends_as_an_undisturbed_one(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, monkeypatch
):
    rng = random.Random(3)
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    counted, watched = Disk(tmp_path / "counted", keep=lambda number: False), Disk(tmp_path / "watched")
    for disk in (counted, watched):
        disk.root.mkdir()
        with disk.watched(monkeypatch):
            undisturbed, _ = run_trainer(Sft(**SETTINGS), **job, work=disk.root)
        moments = set(rng.sample(range(1, disk.events), CUTS))
        watched.keep = moments.__contains__
    expected = weights(undisturbed)
    assert len(watched.cuts) == CUTS
    went_on = 0
    for number, cut in enumerate(watched.cuts):
        work = tmp_path / str(number)
        cut.restore(work, rng)
        steps = []
        resumed, _ = run_trainer(
            Sft(**SETTINGS), **job, work=work, report=lambda done, *_, steps=steps: steps.append(done)
        )
        assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in expected.items())
        went_on += min(steps, default=SETTINGS["steps"]) > 1
    assert went_on > CUTS // 2  # most found a save
