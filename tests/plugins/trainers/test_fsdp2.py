"""FSDP2 gives what one process gives. Two CPU processes (gloo) share the model: what is sharded, and all that follows, is as
on GPUs (see fsdp_on_cpu.py)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import AyaError
from aya_core.planning.registry import Registry

LOOP = {
    "steps": 4, "batch_rows": 8, "learning_rate": 1e-3, "checkpoint_seconds": 0, "log_every": 1, "forward_tokens": 60,
}  # fmt: skip
WATCHED = {"hold_back": 0.3, "every": 1}
JOBS = {
    "preference": {"trainer": {"use": "preference"}, "objective": {"use": "dpo"}},
    "average": {"trainer": {"use": "sft", "ema": 0.7, "validation": WATCHED}},
    "best": {"trainer": {"use": "sft", "learning_rate": 5.0, "validation": {**WATCHED, "keep": "best"}}},
    "lora": {"trainer": {"use": "sft", "lora": {"rank": 4}, "activation_checkpointing": True}},
    "untied reward": {"trainer": {"use": "reward", "score": "likelihood"}, "family": "llama"},
}  # fmt: skip
MEASURED = ("loss", "grad_norm", "rewards/margins", "validation/loss")


@pytest.fixture(scope="module")
def make_job(checkpoint, counting, pairs, rows_folder):
    """Spell a job out."""
    folders = {"demonstrations": rows_folder(counting), "preferences": rows_folder(pairs)}

    def make(name, **settings):
        job = JOBS[name]
        trainer = {**LOOP, **settings, **job["trainer"]}
        rows = folders["demonstrations" if trainer["use"] == "sft" else "preferences"]
        family = {"family": "llama", "tie_word_embeddings": False} if "family" in job else {}
        return {**job, "trainer": trainer, "rows": str(rows), "start": str(checkpoint(**family))}

    return make


@pytest.fixture(scope="module")
def share(forked, tmp_path_factory):
    """Do jobs, one after the other, by two processes; returns the folder with those of each."""

    def run(jobs):
        folder = tmp_path_factory.mktemp("shared")
        for name, job in jobs.items():
            for role in ("out", "work"):
                job[role] = str(folder / name / role)
                Path(job[role]).mkdir(parents=True)
        (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
        script = Path(__file__).with_name("fsdp_on_cpu.py")
        ended = forked(script, folder / "jobs.json", processes=2)
        assert ended.returncode == 0, ended.stderr[:6000]
        return folder

    return run


@pytest.fixture(scope="module")
def shared(make_job, share):
    """All jobs, done by two processes in float32."""
    return share({name: make_job(name) for name in JOBS})


@pytest.fixture
def alone(run_trainer):
    """Do a job in this process; returns its checkpoint and what it reported."""

    def run(job, **more):
        registry, output = Registry(), []
        if "objective" in job:
            objective = registry.validate("objective", job["objective"]).build()
            more = {"objective": objective, "reference": Path(job["start"]), **more}
        trainer = registry.validate("trainer", job["trainer"])
        out, _ = run_trainer(
            trainer,
            Path(job["rows"]),
            start=Path(job["start"]),
            report=lambda *replied: output.append(replied[2]),
            **more,
        )
        return out, output

    return run


def of_training(output):
    return [replied for replied in output if "reference/rows" not in replied]  # each process scores its share


def assert_told_alike(one, folder, *, rounding):
    two = of_training(map(json.loads, (folder / "out" / "told.jsonl").read_text().splitlines()))
    one = of_training(one)
    assert len(one) >= LOOP["steps"]
    for replied, also in zip(one, two, strict=True):
        assert replied.keys() == also.keys()
        for name in MEASURED:
            if name in replied:
                assert also[name] == pytest.approx(replied[name], rel=rounding, abs=rounding / 10), name
    return two


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_two_processes_that_share_the_model_tell_and_make_what_one_does(name, shared, make_job, alone):
    out, output = alone(make_job(name))
    rounding = 1e-2 if name == "best" else 1e-5  # at its learning rate the losses leap: the start is the best
    assert_told_alike(output, shared / name, rounding=rounding)
    one, two = (load_file(folder / "model.safetensors") for folder in (out, shared / name / "out"))
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_under_autocast_an_untrained_policy_is_its_reference(make_job, share, alone):
    _, output = alone(make_job("preference"))
    folder = share({"preference": make_job("preference", precision="bf16")})
    (first, *_) = assert_told_alike(output, folder / "preference", rounding=2e-2)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_a_shared_state_is_refused_by_a_process_that_holds_the_model_whole(shared, make_job, alone):
    with pytest.raises(
        AyaError, match="2 processes that share it by FSDP, and this run is of processes that hold the model"
    ):
        alone(make_job("preference"), work=shared / "preference" / "work")
