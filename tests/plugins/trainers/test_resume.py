"""A run that is killed anywhere and taken up again ends as an undisturbed one, to the bit."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import DistributedType
from safetensors.torch import load_file

from aya_core.api import AyaError, write_sealed
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.resume import Saves
from aya_plugins.trainers.sft import Sft

SAVING = {"batch_rows": 8, "learning_rate": 1e-2, "checkpoint_seconds": 0, "log_every": 2}
WATCHED = {"hold_back": 0.3, "every": 2}
KINDS = {
    "average": {"ema": 0.7},
    "lora": {"lora": {"dropout": 0.4, "rank": 4}},
    "lora and head": {"lora": {"modules_to_save": ["lm_head"], "save": "adapter"}, "ema": 0.5},
    "8 bits": {"optimizer": "adamw-8bit"},
    "validation": {"validation": WATCHED},
    "best": {"validation": {**WATCHED, "keep": "best"}, "learning_rate": 3e-2},
    "best average": {"validation": {**WATCHED, "keep": "best"}, "ema": 0.5, "learning_rate": 3e-2},
    "patience": {"validation": {"hold_back": 0.3, "every": 1, "patience": 2}, "learning_rate": 6e-2, "schedule": "constant"},
}  # fmt: skip


class KilledError(Exception):
    """Stands for a kill."""


def weights(folder):
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(measures):
    return {name: value for name, value in measures.items() if name not in ("tokens_per_second", "memory_mib")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed_at", [2, 4])
def test_a_killed_run_ends_as_an_undisturbed_one(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, kind, killed_at
):
    """Killed at every report from some step on: during training, between evaluation and save, and at the end."""
    if kind == "8 bits":
        pytest.importorskip("bitsandbytes")
    settings = Sft(**{**SAVING, "steps": 7, **KINDS[kind]})
    rows = rows_folder(counting)
    start = checkpoint("llama", tie_word_embeddings=False, hidden_size=64, intermediate_size=96)
    whole, parts = {}, {}
    undisturbed, measures = run_trainer(
        settings, rows, start=start, report=lambda done, total, replied: whole.update({(done, *replied): timeless(replied)})
    )  # fmt: skip
    killed = set()

    def report(done, total, replied):
        if done >= killed_at and (done, *replied) not in killed:
            killed.add((done, *replied))
            raise KilledError
        parts[(done, *replied)] = timeless(replied)

    for _ in range(20):
        try:
            resumed, again = run_trainer(settings, rows, start=start, work=tmp_path, report=report)
            break
        except KilledError:
            continue
    assert killed
    assert same(undisturbed, resumed)
    assert timeless(again) == timeless(measures)
    assert parts == whole


def test_a_run_of_pairs_with_everything_is_resumed(checkpoint, pairs, rows_folder, run_trainer, tmp_path):
    settings = PreferenceTraining(
        **{**SAVING, "learning_rate": 3e-3}, steps=6, ema=0.5, lora={"dropout": 0.2},
        validation={**WATCHED, "keep": "best", "best_by": "rewards/margins", "patience": 4},
    )  # fmt: skip
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "objective": Dpo().build()}
    undisturbed, measures = run_trainer(settings, **job)

    def report(done, total, replied):
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        run_trainer(settings, **job, work=tmp_path, report=report)
    resumed, again = run_trainer(settings, **job, work=tmp_path)
    assert same(undisturbed, resumed)
    assert timeless(again) == timeless(measures)


def test_an_average_is_what_its_definition_says(checkpoint, counting, rows_folder, run_trainer):
    settings = {"batch_rows": 27, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0}
    rows, start = rows_folder(counting), checkpoint()
    one, two = (weights(run_trainer(Sft(**settings, steps=steps), rows, start=start)[0]) for steps in (1, 2))
    averaged = weights(run_trainer(Sft(**settings, steps=2, ema=0.75), rows, start=start)[0])
    for name, first in weights(start).items():
        expected = 0.75 * (0.75 * first + 0.25 * one[name]) + 0.25 * two[name]
        torch.testing.assert_close(averaged[name], expected, rtol=1e-5, atol=1e-6)


def test_the_average_is_what_is_measured(checkpoint, counting, rows_folder, run_trainer):
    """A slow average has hardly left the start, while the weights themselves have learned."""
    settings = {**SAVING, "steps": 10, "validation": {"hold_back": 0.3}}
    reported = []

    def report(done, total, replied):
        reported.append(replied.get("validation/loss"))

    _, slow = run_trainer(Sft(**settings, ema=0.9999), rows_folder(counting), start=checkpoint(), report=report)
    assert slow["validation/loss"] == pytest.approx(reported[0], abs=0.02)
    assert slow["loss"] < reported[0] - 0.5


def test_a_save_of_a_lora_holds_what_is_trained_alone(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    run_trainer(Sft(**SAVING, steps=2, lora={}), rows_folder(counting), start=checkpoint(), work=tmp_path)
    *_, saved = sorted(tmp_path.iterdir())
    state = torch.load(saved / "state.pt", weights_only=True)
    assert state["model"]
    assert all(".lora_" in name for name in state["model"])


def test_the_8_bit_optimizer_keeps_its_moments_in_bytes_and_learns(
    checkpoint, counting, rows_folder, run_trainer, tmp_path
):
    pytest.importorskip("bitsandbytes")
    start = checkpoint(hidden_size=64, intermediate_size=96)
    job = {"rows": rows_folder(counting), "start": start}
    settings = {**SAVING, "steps": 12, "batch_rows": 27, "schedule": "constant"}
    _, small = run_trainer(Sft(**settings, optimizer="adamw-8bit"), **job, work=tmp_path)
    _, plain = run_trainer(Sft(**settings), **job)
    assert small["loss"] == pytest.approx(plain["loss"], rel=0.05)
    *_, saved = sorted(tmp_path.iterdir())
    state = torch.load(saved / "state.pt", weights_only=True)["optimizer"]["state"]
    many = {tensor.numel() >= 4096 for tensor in tensors_in(state) if tensor.dtype == torch.uint8}
    assert many == {True}


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from tensors_in(inner)


def test_an_optimizer_that_is_not_installed_names_the_extra(
    checkpoint, counting, rows_folder, run_trainer, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(AyaError, match=r"needs bitsandbytes.*aya-core\[bitsandbytes\]"):
        run_trainer(Sft(optimizer="adamw-8bit"), rows_folder(counting), start=checkpoint())


def test_a_sharded_state_is_taken_up_by_as_many_processes_as_saved_it_or_refused(tmp_path):
    saved = tmp_path / "step-000000007"
    saved.mkdir()
    layout = {"sharded": "FSDP", "processes": 4}
    write_sealed(saved / "progress.json", {"step": 7, "layout": layout, "files": {}})

    def saves(kind, processes):
        accelerator = SimpleNamespace(
            is_main_process=True, distributed_type=kind, num_processes=processes, wait_for_everyone=lambda: None
        )
        return Saves(accelerator, tmp_path, 0, None, None)

    with pytest.raises(AyaError, match="saved by 4 processes that share it by FSDP, and this run is of 2 processes"):
        saves(DistributedType.FSDP, 2).restore()
    with pytest.raises(AyaError, match="this run is of processes that hold the model whole"):
        saves(DistributedType.NO, 1).restore()


def test_a_save_of_another_model_is_refused(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    rows = rows_folder(counting)
    run_trainer(Sft(**SAVING, steps=2), rows, start=checkpoint(), work=tmp_path)
    with pytest.raises(AyaError, match="the save is of another model, which differs in model"):
        run_trainer(Sft(**SAVING, steps=4, lora={}), rows, start=checkpoint(), work=tmp_path)
