"""Training that goes wrong: losses that are no numbers, disks that are full."""

import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import AyaError, PairLoss
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.sft import Sft

EACH_STEP = {"steps": 6, "batch_rows": 9, "learning_rate": 1e-3, "log_every": 1, "checkpoint_seconds": 0}


def weights(folder):
    return load_file(folder / "model.safetensors")


def poisoned_after(calls, value):
    """DPO in which the first pair of one forward pass, after so many, has a loss that is no number."""
    dpo, seen = Dpo().build(), []

    def objective(pairs):
        seen.append(None)
        replied = dpo(pairs)
        if len(seen) != calls + 1:
            return replied
        losses = replied.losses.clone()
        losses[0] = losses[0] * value
        return PairLoss(losses, replied.chosen_rewards, replied.rejected_rewards)

    return objective


def test_weights_that_explode_name_the_step_and_what_to_try(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    settings = Sft(**{**EACH_STEP, "learning_rate": 1e30, "log_every": 4}, warmup=0)
    with pytest.raises(AyaError, match=r"trainer 'sft': (loss|grad_norm) is (nan|inf) at step \d of 6 .*learning_rate"):
        run_trainer(settings, rows_folder(counting), start=checkpoint(), work=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_its_rows_and_keeps_the_save_before_it(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path, value
):
    """Forward passes hold two pairs or so; those of the step's other passes are not named."""
    job = {"rows": rows_folder(pairs), "start": checkpoint()}
    settings = PreferenceTraining(**EACH_STEP, forward_tokens=60)
    seen = []
    first = PreferenceTraining(**{**EACH_STEP, "steps": 1}, forward_tokens=60)
    run_trainer(first, **job, objective=lambda pairs: seen.append(len(pairs.chosen)) or Dpo().build()(pairs))
    passes = len(seen)  # of the first step
    assert passes > 2
    objective = poisoned_after(2 * passes, value)  # a step has about as many
    with pytest.raises(AyaError, match="whose update was not made") as caught:
        run_trainer(settings, **job, objective=objective, work=tmp_path)
    message = str(caught.value)
    assert f"trainer 'preference': loss is {value}" in message
    *_, saved = sorted(tmp_path.glob("step-*"))
    assert str(saved) in message
    state = torch.load(saved / "state.pt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())
    named = message.split("are those of ")[1].split(":")[0].split(", ")
    assert 1 <= len(named) <= 4
    assert {name.strip("'") for name in named} <= {pair.prompt.id for pair in pairs}
    # Mended, the run goes on from that save and ends as an undisturbed one.
    mended, _ = run_trainer(settings, **job, objective=Dpo().build(), work=tmp_path)
    undisturbed, _ = run_trainer(settings, **job, objective=Dpo().build())
    assert all(torch.equal(tensor, weights(mended)[name]) for name, tensor in weights(undisturbed).items())


def test_many_rows_are_named_in_part(checkpoint, pairs, rows_folder, run_trainer):
    settings = PreferenceTraining(steps=1, batch_rows=27)
    with pytest.raises(
        AyaError, match=r"are those of ('\S+', ){7}'\S+' and 19 more: look at them, lower learning_rate"
    ):
        run_trainer(settings, rows_folder(pairs), start=checkpoint(), objective=poisoned_after(0, float("nan")))


@pytest.fixture
def file_limit():
    """Let no file grow beyond some bytes: a write then fails as on a full disk, in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_fails_harms_neither_the_run_nor_the_save_before_it(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, file_limit
):
    settings, rows = Sft(**EACH_STEP), rows_folder(counting)
    undisturbed, _ = run_trainer(settings, rows, start=checkpoint())

    def report(done, total, measures):
        if done == 3:  # the saves before steps 4, 5 and 6 fail
            file_limit(100_000)
        if done == 6:
            assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001", "step-000000002"]
            file_limit(resource.RLIM_INFINITY)

    with pytest.warns(RuntimeWarning, match="could not be saved before step .*training goes on") as caught:
        folder, measures = run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=report)
    assert measures["failed_saves"] == len(caught) == 3
    assert all(f"would resume from {tmp_path / 'step-000000002'}" in str(warning.message) for warning in caught)
    assert all(torch.equal(tensor, weights(folder)[name]) for name, tensor in weights(undisturbed).items())
    again, measures = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)  # from the save before step 3
    assert "failed_saves" not in measures
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def test_a_full_disk_at_the_end_is_an_error_that_says_what_to_do(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, file_limit
):
    settings, rows = Sft(**EACH_STEP), rows_folder(counting)

    def report(done, total, measures):
        if done == total:
            file_limit(1000)

    with pytest.raises(AyaError, match=r"the checkpoint cannot be written to .*free space there and run again"):
        run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=report)
    file_limit(resource.RLIM_INFINITY)
    reported = []
    run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=lambda done, *_: reported.append(done))
    assert reported == [6]


@pytest.mark.parametrize("damage", ["empty state", "flip", "no state", "empty progress", "garbage progress"])
def test_a_damaged_save_is_set_aside_and_the_one_before_it_serves(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, damage
):
    settings, rows = Sft(**EACH_STEP), rows_folder(counting)
    undisturbed, _ = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)
    before, newest = sorted(tmp_path.iterdir())
    harm(newest, damage)
    done = []
    with pytest.warns(RuntimeWarning, match=rf"that cannot be used: .*{newest.name}.*from {before}"):
        again, measures = run_trainer(
            settings, rows, start=checkpoint(), work=tmp_path, report=lambda step, *_: done.append(step)
        )
    assert measures["damaged_saves"] == 1
    assert min(done) == int(before.name.removeprefix("step-")) + 1
    assert newest.with_name(newest.name + ".damaged").is_dir()
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def test_without_a_whole_save_training_begins_again(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    settings, rows = Sft(**EACH_STEP), rows_folder(counting)
    undisturbed, _ = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)
    for save in tmp_path.iterdir():
        harm(save, "flip")
    with pytest.warns(RuntimeWarning, match="goes on from its beginning"):
        again, _ = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())


def harm(save, damage):
    """What a disk without power, or a bad one, makes of a save."""
    state, progress = save / "state.pt", save / "progress.json"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "empty state": lambda: state.write_bytes(b""),
        "flip": lambda: state.write_bytes(data),
        "no state": state.unlink,
        "empty progress": lambda: progress.write_bytes(b""),
        "garbage progress": lambda: progress.write_text("[" * 100_000),
    }[damage]()


def test_what_a_kill_left_of_a_save_is_cleared_away(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    settings, rows = Sft(**EACH_STEP), rows_folder(counting)
    undisturbed, _ = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)
    *_, saved = sorted(tmp_path.iterdir())
    half = shutil.copytree(saved, tmp_path / "step-000000006.partial")
    (half / "state.pt").write_bytes((saved / "state.pt").read_bytes()[:1000])
    again, _ = run_trainer(settings, rows, start=checkpoint(), work=tmp_path)
    assert not half.exists()
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(undisturbed).items())
