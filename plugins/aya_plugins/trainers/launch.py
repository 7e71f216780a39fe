"""On how many processes to train, and how these share the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from aya_core.api import AyaError, Field, Settings

PROFILES = Path(__file__).parent / "launch_profiles"
"""What `accelerate launch` is told, a file a profile."""


class Launch(Settings):
    """On how many processes of this machine to train. Results do not depend on it, but for rounding."""

    profile: Literal["single", "multi-gpu", "fsdp2", "zero2", "zero3", "cpu"] = Field(
        "single",
        description="single: this process alone; multi-gpu: each GPU holds the model; fsdp2, zero2, zero3: the GPUs share it "
        "(PyTorch's FSDP2, DeepSpeed's ZeRO); cpu: processes on the CPU, each with the whole model.",
    )
    processes: int | None = Field(
        None, ge=1, description="How many; None takes one for each visible GPU. `batch_rows` must be a multiple of it."
    )

    @model_validator(mode="after")
    def _counts_what_is_there(self) -> Launch:
        if self.profile == "single" and (self.processes or 1) > 1:
            raise ValueError("profile 'single' is one process; choose multi-gpu, fsdp2, zero2, zero3 or cpu")
        if self.profile == "cpu" and self.processes is None:
            raise ValueError("profile 'cpu' cannot count GPUs; set `processes`")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules that a profile needs."""
        return ("deepspeed",) if self.profile in ("zero2", "zero3") else ()

    @property
    def command(self) -> tuple[str, ...] | None:
        """The words of a command that runs `-m module arguments` in each process; None for this process alone.

        Raises AyaError where GPUs are wanted and too few are visible.
        """
        if self.profile == "single":
            return None
        if self.profile == "cpu":  # accelerate's own launcher starts processes that do not find one another there
            torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
            return "env", "ACCELERATE_USE_CPU=true", *torchrun, "--nproc-per-node", str(self.processes)
        accelerate = (sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0")
        config = ("--config_file", str(PROFILES / f"{self.profile}.yaml"))
        return *accelerate, *config, "--num_processes", str(self._gpus())

    def _gpus(self) -> int:
        import torch

        visible = torch.cuda.device_count()
        if visible < (self.processes or 1):
            raise AyaError(
                f"launch profile '{self.profile}' wants {self.processes or 'all'} GPUs and {visible} are visible; lower "
                "`launch.processes`, or choose the profile cpu or single"
            )
        return self.processes or visible
