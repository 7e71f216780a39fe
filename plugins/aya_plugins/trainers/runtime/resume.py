"""Saves of a training run, from which a killed one resumes."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Saves:
    """Saves the state of a run under `work`, one folder a save, renamed when whole; the newest is kept.

    The state is that of the model and the optimizer; which rows come next, the learning rate and the random
    numbers of a step all follow from its number and the seed.
    """

    accelerator: Any
    work: Path
    every_seconds: float
    last: float = field(default_factory=time.monotonic)

    def restore(self) -> tuple[int, list[dict[str, float]]]:
        """Load the newest save.

        Returns the step to do next and the measures not yet reported; (0, []) without a save.
        """
        saves = self._finished()
        if not saves:
            return 0, []
        self.accelerator.load_state(str(saves[-1]))
        progress = json.loads((saves[-1] / "progress.json").read_text())
        return int(progress["step"]), list(progress["pending"])

    def is_due(self) -> bool:
        """Say whether to save now; all processes say the same."""
        due = time.monotonic() - self.last >= self.every_seconds
        if self.accelerator.num_processes == 1:
            return due
        votes = self.accelerator.reduce(
            torch.tensor(int(due and self.accelerator.is_main_process)).to(self.accelerator.device)
        )
        return bool(votes.item())

    def save(self, step: int, pending: list[dict[str, float]]) -> None:
        """Save what `restore` needs before `step`."""
        partial = self.work / f"step-{step:09d}.partial"
        self.accelerator.save_state(str(partial), safe_serialization=False)  # tied tensors stay tied
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            (partial / "progress.json").write_text(json.dumps({"step": step, "pending": pending}))
            older = self._finished()
            partial.rename(partial.with_suffix(""))
            for folder in older:
                shutil.rmtree(folder)
        self.accelerator.wait_for_everyone()
        self.last = time.monotonic()

    def _finished(self) -> list[Path]:
        return sorted(path for path in self.work.glob("step-*") if path.suffix != ".partial")
