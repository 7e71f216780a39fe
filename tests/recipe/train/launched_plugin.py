"""A trainer that two processes run together, and an observer that kills the run."""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from aya_core.api import AyaError, Field, TrainerStrategy, hookimpl

LAUNCHER = Path(__file__).parent / "two_processes.py"


class Together(TrainerStrategy):
    """Say which process this is, in a file of each."""

    mistake: str = Field("", description="What the second process has to say against it.")
    bug: str = Field("", description="What breaks the second process.")
    alive: str = Field("", description="A folder in which each process holds a lock, without end.")

    @property
    def launcher(self):
        return [sys.executable, str(LAUNCHER)]

    def build(self):
        return self

    def train(self, job):
        rank = os.environ["RANK"]
        print(f"process {rank} says {os.environ['GREETING']}")
        if rank == "1" and self.mistake:
            raise AyaError(self.mistake)
        if rank == "1" and self.bug:
            raise RuntimeError(self.bug)
        (job.out / f"process-{rank}").write_text(f"{job.seed} {len(list(job.rows.glob('*.parquet')))}")
        if self.alive:
            with open(f"{self.alive}/{rank}", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                while len(os.listdir(self.alive)) < 2:
                    time.sleep(0.01)
                job.report(1, 2, {"process": float(rank)})
                while True:
                    time.sleep(1)
        job.report(1, 1, {"process": float(rank)})
        return {"process": float(rank)}


@hookimpl
def aya_trainers():
    return {"together": Together}


@hookimpl
def aya_progress(node, done, total, measures):
    if node == "pair" and done < total:
        os.kill(os.getpid(), signal.SIGKILL)
