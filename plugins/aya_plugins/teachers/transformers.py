"""A teacher that runs a checkpoint with transformers."""

from __future__ import annotations

from typing import Literal

from aya_core.api import Field, ModelRef, Strategy, Teacher


class Transformers(Strategy[Teacher]):
    """Run a checkpoint with transformers: right for small models, and for any that transformers knows."""

    imports = (
        "torch",
        "transformers.modeling_utils",
        "transformers.generation",
        "aya_kernels",
        "aya_plugins.teachers.transformers_engine",
    )
    extra = "train"
    incidental = frozenset({"batch_tokens"})

    model: ModelRef = Field(description="The checkpoint that answers.")
    system: str | None = Field(None, description="A system message put before every prompt.")
    batch_tokens: int = Field(
        65536,
        ge=1,
        description="Tokens of one batch, padding and answers to come included; halved when memory runs out.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights: auto is the checkpoint's own, but float32 on a CPU."
    )
    device: str = Field(
        "auto", description="auto is the GPU where there is one; else a name that torch knows, as cuda:1."
    )

    def build(self) -> Teacher:
        """Load the checkpoint."""
        from aya_plugins.teachers.transformers_engine import TransformersTeacher

        return TransformersTeacher(self)
