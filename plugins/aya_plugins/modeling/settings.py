"""Settings of whatever runs a checkpoint by itself: teachers, arbiters and routers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from aya_core.api import Field, ModelRef, Settings, Surroundings


class CheckpointSettings(Settings):
    """Which checkpoint is run, in which precision, where, and how much of it at a time. `load_model` reads these."""

    execution_settings: ClassVar[frozenset[str]] = frozenset({"batch_tokens", "device"})

    model: ModelRef = Field(description="The checkpoint that is run.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights: auto is the checkpoint's own, but float32 on a CPU."
    )
    device: str = Field(
        "auto", description="auto is the GPU where there is one; else a name that torch knows, as cuda:1."
    )
    batch_tokens: int = Field(
        65536,
        ge=1,
        description="Tokens of one batch, with padding and answers to come; halved when memory runs out.",
    )

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Strategy`: a device that is not there, or too small for the model, which is run on one."""
        if missing := here.lacks_device(self.device):
            yield f"{missing}; set device to auto or cpu, or take another machine"
        elif self.device != "cpu" and (large := here.too_large(str(self.model))):
            yield f"{large}, and it is run on one device; take a smaller model, or a server"


def is_classifier(here: Surroundings, model: str) -> bool | None:
    """Whether a model has a head of labels, as its config.json says; None where it does not say, or is not known."""
    made = here.config(model).get("architectures")
    return any("Classification" in str(name) for name in made) if isinstance(made, list) and made else None


def writes_nothing(here: Surroundings, model: str) -> Iterator[str]:
    """Say that a model which is to answer has a head of labels and none of words, if it is so."""
    if is_classifier(here, str(model)):
        yield f"'{model}' is a classifier (architectures in its config.json), which writes no answers; expected a language model"
