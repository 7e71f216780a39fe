"""Data-parallel training gives what one process gives, and either takes up what the other has saved."""

import pytest
import torch
from safetensors.torch import load_file

from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining

SETTINGS = {
    "steps": 4, "batch_rows": 8, "learning_rate": 1e-3, "checkpoint_seconds": 0, "log_every": 1, "ema": 0.2,
    "validation": {"hold_back": 0.3, "every": 2, "keep": "best"},
}  # fmt: skip

SCRIPT = """
import sys
from pathlib import Path
from aya_core.api import TrainingJob

from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining

rows, start, out, work = map(Path, sys.argv[1:5])

def report(done, total, measures):
    if done == int(sys.argv[5]):
        raise KeyboardInterrupt

settings = PreferenceTraining(**{settings}, forward_tokens=60)
measures = settings.build().train(
    TrainingJob(
        rows=rows, start=start, out=out, work=work, seed=0, objective=Dpo().build(), reference=start, report=report
    )
)
if "RANK" not in __import__("os").environ or __import__("os").environ["RANK"] == "0":
    print("measured", measures["validation/rewards/margins"], measures["best_step"])
"""


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def on_two(forked, tmp_path, checkpoint, pairs, rows_folder):
    """Train in two processes, which are killed at a step if that is given; returns the checkpoint and the output."""
    script, out = SCRIPT.replace("{settings}", repr(SETTINGS)), tmp_path / "out"
    out.mkdir()

    def run(work, killed_at=-1):
        words = (rows_folder(pairs), checkpoint(), out, work, killed_at)
        ended = forked(script, *words, processes=2, ACCELERATE_USE_CPU="true")
        assert (ended.returncode == 0) == (killed_at < 0), ended.stderr[:6000]
        return out, ended.stdout

    return run


@pytest.fixture
def alone(checkpoint, pairs, rows_folder, run_trainer):
    """Train in this process."""

    def run(**job):
        settings = PreferenceTraining(**SETTINGS)
        objective = Dpo().build()
        return run_trainer(
            settings, rows_folder(pairs), start=checkpoint(), reference=checkpoint(), objective=objective, **job
        )

    return run


def assert_near(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_two_processes_take_up_what_one_has_saved_and_train_as_it_does(alone, on_two, tmp_path):
    undisturbed, measures = alone()
    work = tmp_path / "work"
    work.mkdir()

    def report(done, total, replied):
        if done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        alone(work=work, report=report)
    assert [path.name for path in work.glob("step-*")] == ["step-000000001"]
    out, printed = on_two(work)
    assert_near(undisturbed, out)
    margin, best_step = printed.split("measured ")[1].split()
    assert float(margin) == pytest.approx(measures["validation/rewards/margins"], rel=1e-3, abs=1e-5)
    assert float(best_step) == measures["best_step"]


@pytest.mark.slow
def test_one_process_takes_up_what_two_have_saved(alone, on_two, tmp_path):
    undisturbed, _ = alone()
    work = tmp_path / "work"
    work.mkdir()
    on_two(work, killed_at=3)
    assert sorted(path.name for path in work.glob("step-*")) == ["step-000000001", "step-000000002"]
    assert_near(undisturbed, alone(work=work)[0])
