"""Three steps of SFT and of DPO on published models, beside TRL's: the program that compares them, run as its user does."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "training_parity.py"


def test_losses_of_three_steps_are_those_of_trl(real):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(real)], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    losses = re.findall(r"^ +\d +([\d.]+) +([\d.]+) ", done.stdout, re.MULTILINE)
    assert len(losses) >= 6
    assert len(set(losses)) == len(losses)
