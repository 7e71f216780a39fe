"""Checkpoints along a run, and runs that go on where a shorter one ended."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from aya_plugins.trainers.sft import Sft

LOOP = {"batch_rows": 9, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0, "log_every": 3}


class KilledError(Exception):
    """Stands for a kill."""


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("more", [{}, {"ema": 0.5}, {"lora": {"rank": 4}}], ids=["plain", "average", "lora"])
def test_a_checkpoint_along_a_run_is_that_of_a_run_which_ends_there(
    checkpoint, counting, rows_folder, run_trainer, more
):
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    out, _ = run_trainer(Sft(**LOOP, steps=5, checkpoints={"at": [2, 4]}, **more), **job)
    plain, _ = run_trainer(Sft(**LOOP, steps=5, **more), **job)
    assert same(out, plain)
    for step in (2, 4):
        ends_there, _ = run_trainer(Sft(**LOOP, steps=step, **more), **job)
        assert same(out / f"checkpoint-{step}", ends_there)
        assert f"step: {step}." in (out / f"checkpoint-{step}" / "README.md").read_text()


def test_a_killed_run_leaves_the_same_checkpoints(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    settings = Sft(**{**LOOP, "log_every": 1}, steps=5, checkpoints={"every": 2}, checkpoint_seconds=0)
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    undisturbed, _ = run_trainer(settings, **job)

    def report(done, total, measures):
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run_trainer(settings, **job, work=tmp_path, report=report)
    resumed, _ = run_trainer(settings, **job, work=tmp_path)
    names = sorted(path.name for path in resumed.iterdir() if path.is_dir())
    assert names == ["checkpoint-2", "checkpoint-4"]
    assert all(same(undisturbed / name, resumed / name) for name in names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoints": {"every": 2}}, "`checkpoints.every` needs `steps`"),
        ({"checkpoints": {"at": [3, 9]}, "steps": 8}, "asks for one after step 9, and the run ends after 8"),
        ({"checkpoints": {}}, "expected `every`, a number of steps, or `at`"),
        ({"checkpoints": {"every": 1, "at": [1]}}, "expected `every`, a number of steps, or `at`"),
        ({"checkpoints": {"at": [0]}}, "0 is no step"),
    ],
)
def test_checkpoints_that_a_plan_cannot_name_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Sft(**settings)


def test_steps_are_named_in_order_and_once():
    assert Sft(checkpoints={"at": [9, 3, 9]}).checkpoint_steps == (3, 9)
    assert Sft(checkpoints={"every": 4}, steps=12).checkpoint_steps == (4, 8, 12)
    assert Sft().checkpoint_steps == ()


@pytest.mark.parametrize("length", [{"steps": 3}, {"epochs": 1}])
@pytest.mark.parametrize(
    "more",
    [{}, {"ema": 0.5, "validation": {"hold_back": 0.3, "every": 2, "keep": "best"}}, {"lora": {"rank": 4}}],
    ids=["plain", "best average", "lora"],
)
def test_a_finished_run_goes_on_as_if_it_had_been_longer(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, length, more
):
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    undisturbed, whole = run_trainer(Sft(**LOOP, steps=7, **more), **job)
    run_trainer(Sft(**LOOP, **length, keep_state=True, **more), **job, alike=tmp_path / "alike")
    seen = []
    settings = Sft(**LOOP, steps=7, keep_state=True, **more)
    longer, measures = run_trainer(settings, **job, alike=tmp_path / "alike", report=lambda done, *_: seen.append(done))
    assert same(undisturbed, longer)
    first = measures.pop("continued_from")
    assert first in (2, 3)
    assert min(seen) > first
    timed = ("tokens_per_second", "memory_mib")
    assert {name: value for name, value in measures.items() if name not in timed} == {
        name: value for name, value in whole.items() if name not in timed
    }


def test_no_state_is_kept_unless_it_is_asked_for(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    job = {"rows": rows_folder(counting), "start": checkpoint(), "alike": tmp_path / "alike"}
    run_trainer(Sft(**LOOP, steps=2), **job)
    assert not (tmp_path / "alike").exists()
    _, measures = run_trainer(Sft(**LOOP, steps=3), **job)
    assert "continued_from" not in measures


def test_a_run_that_has_to_leave_an_earlier_checkpoint_begins_again(
    checkpoint, counting, rows_folder, run_trainer, tmp_path
):
    job = {"rows": rows_folder(counting), "start": checkpoint(), "alike": tmp_path / "alike"}
    run_trainer(Sft(**LOOP, steps=3, keep_state=True), **job)
    out, measures = run_trainer(Sft(**LOOP, steps=5, checkpoints={"at": [2]}), **job)
    assert "continued_from" not in measures
    assert (out / "checkpoint-2" / "model.safetensors").is_file()
    _, measures = run_trainer(Sft(**LOOP, steps=5, checkpoints={"at": [4]}), **job)
    assert measures["continued_from"] == 3


def test_a_shorter_run_does_not_begin_beyond_its_end(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    job = {"rows": rows_folder(counting), "start": checkpoint(), "alike": tmp_path / "alike"}
    run_trainer(Sft(**LOOP, steps=4, keep_state=True), **job)
    out, measures = run_trainer(Sft(**LOOP, steps=2), **job)
    assert measures["steps"] == 2
    assert same(out, run_trainer(Sft(**LOOP, steps=2), rows=job["rows"], start=job["start"])[0])
