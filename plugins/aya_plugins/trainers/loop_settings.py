"""Settings that every trainer with a loop shares."""

from __future__ import annotations

from typing import ClassVar, Literal

from aya_core.api import Field, Settings

LOOP_IMPORTS = (
    "torch",
    "accelerate",
    "transformers.modeling_utils",
    "transformers.generation",
    "aya_kernels",
    "aya_plugins.trainers.runtime.loop",
)
"""What the loop and the checkpoint code import."""


class LoopSettings(Settings):
    """How long, how fast and in what portions to train.

    Results do not depend on `forward_tokens`, the number of devices or on interruptions, but for rounding.
    """

    incidental: ClassVar[frozenset[str]] = frozenset(
        {"forward_tokens", "activation_checkpointing", "log_every", "checkpoint_seconds"}
    )

    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate of AdamW.")
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
    max_tokens: int = Field(4096, ge=8, description="Longer rows lose their end; how many is reported.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay of its two moments.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay, on matrices only.")
    clip_norm: float = Field(1.0, gt=0, description="Longest gradient, over all parameters.")
    precision: Literal["auto", "bf16", "float32"] = Field(
        "auto",
        description="Of forward and backward: auto is bf16 on a GPU, float32 on a CPU. Weights train in float32.",
    )
    activation_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, a third more time."
    )
    log_every: int = Field(10, ge=1, description="Steps between two reports.")
    checkpoint_seconds: float = Field(
        300,
        ge=0,
        description="Time between two saves of the training state, which a killed run resumes from.",
    )
