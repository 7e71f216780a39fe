"""Training that is told to stop saves, and goes on from there as if nothing had been."""

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import StoppedError
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.sft import Sft


def after(calls):
    """Say stop after so many questions."""
    asked = []

    def stopping():
        asked.append(None)
        return len(asked) > calls

    return stopping


def same(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_saves_after_the_step_at_work_and_goes_on_to_the_bit(
    checkpoint, counting, rows_folder, run_trainer, tmp_path
):
    settings = Sft(steps=6, batch_rows=9, learning_rate=1e-2, checkpoint_seconds=None)
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    undisturbed, _ = run_trainer(settings, **job)
    with pytest.raises(StoppedError, match=r"told to stop after step 3 of 6; .*goes on from .*step-000000003"):
        run_trainer(settings, **job, work=tmp_path, stopping=after(3))  # once for the rows, then after each step
    done = []
    resumed, _ = run_trainer(settings, **job, work=tmp_path, report=lambda step, *_: done.append(step))
    assert same(undisturbed, resumed)


def test_rows_are_not_read_to_their_end(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    with pytest.raises(StoppedError, match="while rows were read"):
        run_trainer(Sft(steps=1), rows_folder(counting), start=checkpoint(), work=tmp_path, stopping=lambda: True)


def test_what_the_reference_has_scored_is_kept(checkpoint, pairs, rows_folder, run_trainer, tmp_path):
    settings = PreferenceTraining(steps=2, batch_rows=9, forward_tokens=40)
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "objective": Dpo().build(), "store": tmp_path / "store"}
    undisturbed, _ = run_trainer(settings, **{**job, "store": tmp_path / "other"})
    with pytest.raises(StoppedError, match="while the reference scored rows"):
        run_trainer(settings, **job, stopping=after(4))
    assert list((tmp_path / "store").rglob("*.safetensors"))
    resumed, _ = run_trainer(settings, **job)
    assert same(undisturbed, resumed)
