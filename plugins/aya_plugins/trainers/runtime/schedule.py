"""Learning rates."""

from __future__ import annotations

import math

from aya_plugins.trainers.loop_settings import LoopSettings


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
