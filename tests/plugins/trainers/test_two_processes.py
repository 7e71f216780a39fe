"""Data-parallel training gives what one process gives."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining

SCRIPT = """
import sys
from pathlib import Path
from aya_core.api import TrainingJob
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining

rows, start, out, work = map(Path, sys.argv[1:])
settings = PreferenceTraining(steps=4, batch_rows=8, learning_rate=1e-3, forward_tokens=60, checkpoint_seconds=0)
settings.build().train(
    TrainingJob(rows=rows, start=start, out=out, work=work, seed=0, objective=Dpo().build(), reference=start)
)
"""


@pytest.mark.slow
def test_two_processes_train_as_one_does(checkpoint, pairs, rows_folder, run_trainer, tmp_path):
    rows = rows_folder(pairs)
    settings = PreferenceTraining(steps=4, batch_rows=8, learning_rate=1e-3)
    alone, _ = run_trainer(settings, rows, start=checkpoint(), reference=checkpoint(), objective=Dpo().build())
    script, out, work = tmp_path / "train.py", tmp_path / "out", tmp_path / "work"
    script.write_text(SCRIPT)
    out.mkdir()
    work.mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    ended = subprocess.run(
        [*launch, script, rows, checkpoint(), out, work],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[:6000]
    one, two = (load_file(folder / "model.safetensors") for folder in (alone, out))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=2e-5)
