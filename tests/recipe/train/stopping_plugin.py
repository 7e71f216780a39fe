"""A trainer that goes on until it is told to stop, and an observer that has the run told."""

import os
import signal
import sys
import time
from pathlib import Path

from aya_core.api import Field, StoppedError, TrainerStrategy, hookimpl

LAUNCHER = Path(__file__).parent / "two_processes.py"


class Patient(TrainerStrategy):
    """Train until told to stop; when it was stopped before, end at once."""

    together: bool = Field(False, description="Whether two processes do it.")
    alone: bool = Field(False, description="Whether the process of the step is told, and not the run.")

    @property
    def launcher(self):
        return [sys.executable, str(LAUNCHER)] if self.together else None

    def build(self):
        return self

    def train(self, job):
        saved = job.work / f"saved-{os.environ.get('RANK', 0)}"
        if saved.exists():
            (job.out / "model.json").write_text("{}")
            return {"went_on": 1.0}
        for done in range(1, 3000):
            if self.alone and done == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            if job.stopping():
                saved.touch()
                raise StoppedError("saved")
            job.report(done, 3000, {})
            time.sleep(0.01)
        raise RuntimeError("nobody said stop")


@hookimpl
def aya_trainers():
    return {"patient": Patient}


@hookimpl
def aya_progress(node, done, total, measures):
    if node == "long" and not Path("alone").exists():
        os.kill(os.getpid(), signal.SIGTERM)
