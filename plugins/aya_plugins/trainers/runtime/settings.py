"""Settings that every trainer with a loop shares: of the loop, of LoRA, of validation, of processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from aya_core.api import AyaError, Field, Settings, Surroundings

PROFILES = Path(__file__).parent / "launch_profiles"
"""What `accelerate launch` is told, a file a profile."""

LOOP_IMPORTS = (
    "torch",
    "accelerate",
    "transformers.modeling_utils",
    "transformers.generation",
    "aya_kernels",
    "aya_plugins.trainers.runtime.loop",
)
"""What the loop and the checkpoint code import."""


class Lora(Settings):
    """Train two thin matrices beside each frozen one, in place of it: W + scale * B A.

    Source: Hu et al. 2021, arXiv 2106.09685, equation 3; the rank-stabilized scale: Kalajdzievski 2023, arXiv 2312.03732.
    """

    rank: int = Field(16, ge=1, description="Rows of A and columns of B.")
    alpha: float = Field(32.0, gt=0, description="Strength; the scale is alpha / rank.")
    rslora: bool = Field(False, description="Make the scale alpha / sqrt(rank), which lets large ranks learn.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the inputs of A that are dropped in training.")
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear", description="Modules by the end of their names; `all-linear` is all but the output head."
    )
    modules_to_save: tuple[str, ...] = Field(
        (), description="Modules that are trained whole; the new head of a classifier always is."
    )
    save: Literal["merged", "adapter"] = Field(
        "merged",
        description="merged: an ordinary checkpoint, which all stages read; adapter: the thin matrices alone, which merges read.",
    )


class Validation(Settings):
    """What is measured on rows that are not trained on, and what follows from it.

    The rows are those that are held back, and those of the stage's `validation`. They are measured before the first step
    and at the end.
    """

    hold_back: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the prompts, drawn by a hash of their ids alone, whose rows are measured on and not trained on.",
    )
    every: int | None = Field(
        None, ge=1, description="Steps between two evaluations; None measures at both ends alone."
    )
    best_by: str = Field(
        "loss",
        description="The measure by which evaluations are compared, such as rewards/margins; of one language as rewards/margins/de.",
    )
    keep: Literal["last", "best"] = Field(
        "last", description="Whose weights are written: the last step's, or the best evaluation's."
    )
    patience: int | None = Field(
        None, ge=1, description="Training ends after so many evaluations that are no better than the best before them."
    )

    @model_validator(mode="after")
    def _looks_often_enough(self) -> Validation:
        if self.every is None and (self.keep == "best" or self.patience is not None):
            raise ValueError("`keep: best` and `patience` choose among evaluations; set `every`, the steps between two")
        return self


class Checkpoints(Settings):
    """Checkpoints that a run leaves on its way. Later stages, such as merges, name them `STAGE:step-STEP`, or `STAGE@CLUSTER:step-STEP`.

    They hold what would be written if the run ended there; with `keep: best` the weights of that step, with `ema` the average.
    """

    every: int | None = Field(None, ge=1, description="Steps between two of them. The trainer must then have `steps`.")
    at: tuple[int, ...] = Field((), description="The steps after which one is written.")

    @model_validator(mode="after")
    def _names_steps(self) -> Checkpoints:
        if (self.every is None) == (not self.at):
            raise ValueError("expected `every`, a number of steps, or `at`, a list of steps")
        if any(step < 1 for step in self.at):
            raise ValueError(f"at: {min(self.at)} is no step; steps are counted from 1")
        return self


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


class LoopSettings(Settings):
    """How long, how fast and in what portions to train.

    Results do not depend on `forward_tokens`, the number of devices or on interruptions, but for rounding.
    """

    execution_settings: ClassVar[frozenset[str]] = frozenset(
        {
            "forward_tokens",
            "attention",
            "layout",
            "activation_checkpointing",
            "log_every",
            "checkpoint_seconds",
            "launch",
        }
    )

    length_settings: ClassVar[frozenset[str]] = frozenset({"steps", "epochs", "keep_state", "checkpoints"})

    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate of AdamW.")
    optimizer: Literal["adamw", "adamw-8bit"] = Field(
        "adamw", description="adamw-8bit keeps both moments in 8 bits (bitsandbytes): a quarter of their memory."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine",
        description="How the learning rate falls after warm-up; models to be merged do better with constant.",
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of all steps in which the learning rate rises from 0.")
    min_lr_ratio: float = Field(0.0, ge=0, le=1, description="Last learning rate, as a share of the peak.")
    epochs: float = Field(1.0, gt=0, description="Passes over the rows, rounded to whole steps; `steps` overrides it.")
    steps: int | None = Field(None, ge=1, description="Optimizer steps, in place of `epochs`.")
    batch_rows: int = Field(
        64, ge=1, description="Rows (pairs, for preferences) of one optimizer step, over all devices."
    )
    forward_tokens: int = Field(
        16384,
        ge=1,
        description="Tokens of one forward pass on one device; a larger step accumulates gradients.",
    )
    attention: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None = Field(
        None, description="How attention is computed, as transformers names it; None leaves the choice to transformers."
    )
    layout: Literal["auto", "padded", "padding-free"] = Field(
        "auto",
        description="How rows go through a model: side by side, padded to the longest, or end to end without padding, none "
        "of them seeing another. auto is padding-free where attention is flash or flex.",
    )
    max_tokens: int = Field(4096, ge=8, description="Longer rows lose their end; how many is reported.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay of its two moments.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay, on matrices only.")
    clip_norm: float = Field(1.0, gt=0, description="Longest gradient, over all parameters.")
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of a running average of the weights, such as 0.99; the average is what is measured and written.",
    )
    disable_dropout: bool = Field(
        False, description="Train without the dropout that the model's configuration sets; a LoRA's own stays."
    )
    lora: Lora | None = Field(None, description="Train low-rank changes of frozen weights; None trains all weights.")
    validation: Validation = Field(Validation(), description="Rows that are measured on and not trained on.")
    precision: Literal["auto", "bf16", "float32"] = Field(
        "auto",
        description="Of forward and backward: auto is bf16 on a GPU, float32 on a CPU. Weights train in float32.",
    )
    activation_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, a third more time."
    )
    log_every: int = Field(10, ge=1, description="Steps between two reports.")
    checkpoint_seconds: float | None = Field(
        300,
        ge=0,
        description="Time between two saves of the training state, which a killed run resumes from; None saves only when the "
        "run is told to stop.",
    )

    checkpoints: Checkpoints | None = Field(
        None,
        description="Checkpoints to leave along the run, for merges and other stages to name; None leaves the last alone.",
    )
    keep_state: bool = Field(
        False,
        description="Keep the state of the finished run in the run folder's store. The same training with more `steps` or `epochs` goes on "
        "from there, at the learning rates of its own schedule.",
    )
    launch: Launch = Field(Launch(), description="On how many processes to train, and how these share the work.")

    @model_validator(mode="after")
    def _shares_rows_evenly(self) -> LoopSettings:
        processes = self.launch.processes or 1
        if self.batch_rows % processes:
            raise ValueError(
                f"`batch_rows` {self.batch_rows} cannot be shared by `launch.processes` {processes}; make it a multiple"
            )
        return self

    @model_validator(mode="after")
    def _reaches_its_checkpoints(self) -> LoopSettings:
        if self.checkpoints is None:
            return self
        if self.checkpoints.every is not None and self.steps is None:
            raise ValueError(
                "`checkpoints.every` needs `steps`: a plan names each checkpoint, and how many steps `epochs` make is known when the rows "
                "are; set `steps`, or name the steps with `checkpoints.at`"
            )
        last = max((*self.checkpoints.at, self.checkpoints.every or 0))
        if self.steps is not None and last > self.steps:
            raise ValueError(f"`checkpoints` asks for one after step {last}, and the run ends after {self.steps}")
        return self

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """See `TrainerStrategy`."""
        if self.checkpoints is None:
            return ()
        if self.checkpoints.every is None:
            return tuple(sorted(set(self.checkpoints.at)))
        return tuple(range(self.checkpoints.every, (self.steps or 0) + 1, self.checkpoints.every))

    @property
    def launcher(self) -> tuple[str, ...] | None:
        """See `Trainer`."""
        return self.launch.command

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Strategy`: GPUs that the profile or the attention wants and that are not there."""
        profile, processes = self.launch.profile, self.launch.processes or 1
        if profile not in ("single", "cpu"):
            if missing := here.lacks_gpus(processes):
                yield (
                    f"launch profile '{profile}' {missing}; lower `launch.processes`, or choose the profile cpu or single, or another "
                    "machine"
                )
            elif crowded := here.overbooks_gpus(self.launch.processes or len(here.gpus or ())):
                yield f"launch profile '{profile}' {crowded}"
        if (self.attention or "").startswith("flash_attention") and (missing := here.lacks_gpus(1)):
            yield f"attention '{self.attention}' {missing}; choose sdpa or eager, or another machine"

    @property
    def needs_of_settings(self) -> tuple[str, ...]:
        """See `Strategy`."""
        return (
            *(["peft"] if self.lora else []),
            *(["bitsandbytes"] if self.optimizer == "adamw-8bit" else []),
            *self.launch.needs,
        )
