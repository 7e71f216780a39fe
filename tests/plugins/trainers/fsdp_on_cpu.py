"""Does training jobs one after the other as one of two CPU processes that share the model by FSDP2: `fsdp_on_cpu.py JOBS`.

accelerate shards on GPUs alone, and is told here that these processes are some. JOBS is a file with a list of jobs.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.state import PartialState
from torch.distributed.fsdp import FSDPModule

from aya_core.api import TrainingJob
from aya_core.planning.registry import Registry
from aya_plugins.trainers.runtime.loop import Loop
from aya_plugins.trainers.runtime.settings import PROFILES

made = Loop.__init__


def init(self, *arguments):
    made(self, *arguments)
    units = sum(isinstance(module, FSDPModule) for module in self.model.modules())
    assert units == 3, f"{units} units; expected one for each of two layers, and the outermost"


def main():
    PartialState._prepare_backend = lambda self, *_: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    for name, value in load_config_from_file(str(PROFILES / "fsdp2.yaml")).fsdp_config.items():
        os.environ[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
    Loop.__init__ = init
    registry = Registry()
    for job in json.loads(Path(sys.argv[1]).read_text()):
        folders = {role: Path(job[role]) for role in ("rows", "start", "out", "work")}
        if "objective" in job:
            folders |= {
                "reference": folders["start"],
                "objective": registry.validate("objective", job["objective"]).build(),
            }

        def report(done, total, measures, output=folders["out"] / "told.jsonl"):
            with output.open("a") as file:
                file.write(json.dumps(measures) + "\n")

        registry.validate("trainer", job["trainer"]).build().train(TrainingJob(seed=0, report=report, **folders))


if __name__ == "__main__":
    main()
