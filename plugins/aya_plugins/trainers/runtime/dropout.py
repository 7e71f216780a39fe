"""Dropout taken out of a model while it trains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedConfig

NOISE = re.compile("drop|jitter")
"""Found in the names by which models of transformers keep shares of dropout, of left-out layers and of noise in routers."""


@contextmanager
def no_dropout(model: nn.Module) -> Iterator[None]:
    """Let a model compute in training what it computes in evaluation; at the end it is as it was, so that its configuration is
    saved as it was read.

    Shares are set to 0 wherever a model keeps them: in dropout modules, as numbers of other modules, and in configurations that
    modules read as they go. Modules that are added inside, such as the dropout of a LoRA, keep theirs.
    """
    were = list(_shares(model))
    for holder, name, _ in were:
        setattr(holder, name, 0.0)
    try:
        yield
    finally:
        for holder, name, value in were:
            setattr(holder, name, value)


def _shares(model: nn.Module) -> Iterator[tuple[Any, str, float]]:
    """Name all shares above 0: who holds each, under which name, and its value."""
    configs: dict[int, PreTrainedConfig] = {}
    for module in model.modules():
        names = {"p"} if isinstance(module, _DropoutNd) else set()
        yield from _above_zero(module, names | {name for name in vars(module) if NOISE.search(name)})
        for config in _configs(getattr(module, "config", None)):
            configs[id(config)] = config
    for config in configs.values():
        yield from _above_zero(config, {name for name in vars(config) if NOISE.search(name)})


def _above_zero(holder: Any, names: set[str]) -> Iterator[tuple[Any, str, float]]:
    for name in sorted(names):
        value = vars(holder)[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            yield holder, name, value


def _configs(config: Any) -> Iterator[PreTrainedConfig]:
    """A configuration and those inside it."""
    if isinstance(config, PreTrainedConfig):
        yield config
        for inner in vars(config).values():
            yield from _configs(inner)
