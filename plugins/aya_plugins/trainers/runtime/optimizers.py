"""Optimizers by name, and their learning rates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from aya_core.api import AyaError
from aya_plugins.trainers.runtime.settings import LoopSettings


def make_optimizer(module: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """Make the optimizer of what is trained. Norms and biases, having fewer than two dimensions, do not decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return {"adamw": _adamw, "adamw-8bit": _adamw_8bit}[settings.optimizer](groups, settings)


def _adamw(groups: list[dict[str, Any]], settings: LoopSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def _adamw_8bit(groups: list[dict[str, Any]], settings: LoopSettings) -> torch.optim.Optimizer:
    """Moments of tensors of 4,096 values and more are kept in 8 bits, in blocks of 256 with a scale each.

    Source: Dettmers et al. 2021, arXiv 2110.02861.
    """
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise AyaError(
            "`optimizer: adamw-8bit` needs bitsandbytes, which is not installed; install the extra: pip install "
            '"aya-core[bitsandbytes]", or set `optimizer: adamw`'
        ) from None
    return AdamW8bit(groups, lr=settings.learning_rate, betas=settings.betas)  # type: ignore[no-any-return]


def learning_rate(step: int, total: int, settings: LoopSettings) -> float:
    """Give the learning rate of step 0, 1, ..., total - 1.

    It rises linearly over the warm-up and reaches the peak right after it, then falls so that one step beyond
    the last it would be `min_lr_ratio` of the peak.
    """
    warmup = round(settings.warmup * total)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / (total - warmup)
    falling = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[settings.schedule]
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (settings.min_lr_ratio + (1 - settings.min_lr_ratio) * falling)
