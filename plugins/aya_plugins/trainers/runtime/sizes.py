"""How much memory or disk the parts of a training state take."""

from __future__ import annotations

from torch import nn

from aya_plugins.trainers.runtime.settings import LoopSettings

GIB = 2**30


def moment_bytes(settings: LoopSettings) -> int:
    """Bytes of an optimizer's moments for each trained number."""
    return {"adamw": 8, "adamw-8bit": 2}[settings.optimizer]


def trained_numbers(module: nn.Module) -> int:
    """How many numbers of a module are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters, trained or not."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def in_words(size: int) -> str:
    """A number of bytes for a message."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:.1f} MiB"
