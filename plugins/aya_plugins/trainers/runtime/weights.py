"""Second copies of the weights in training: a running average, and the best so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def trained_parts(model: nn.Module) -> list[Tensor]:
    """Give what this process holds of the weights that are trained; writing to it changes the model."""
    parameters = (parameter for parameter in model.parameters() if parameter.requires_grad)
    return [getattr(parameter, "to_local", lambda p=parameter: p)().detach() for parameter in parameters]


class Average:
    """A running average of the weights, w' <- decay * w' + (1 - decay) * w after each step; w' is w before the first.

    Source: Polyak and Juditsky 1992, doi 10.1137/0330046, with the exponential weights of Tarvainen and Valpola 2017, arXiv
    1703.01780, section 2.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.values = [part.clone() for part in trained_parts(model)]

    def update(self) -> None:
        """Take in the weights of a step."""
        for value, part in zip(self.values, trained_parts(self.model), strict=True):
            value.lerp_(part, 1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the model, and the weights back at the end."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def exchange(self) -> None:
        """Exchange the average with the model's weights."""
        for value, part in zip(self.values, trained_parts(self.model), strict=True):
            held = part.clone()
            part.copy_(value)
            value.copy_(held)

    def state_dict(self) -> Mapping[str, Any]:
        """What a save holds."""
        return {"values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a save."""
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)


class Best:
    """The weights of the best evaluation, in the memory of the CPU."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.values: list[Tensor] = []

    def take(self) -> None:
        """Copy the model's weights."""
        self.values = [part.to("cpu", copy=True) for part in trained_parts(self.model)]

    def put(self) -> None:
        """Write the copy into the model."""
        for value, part in zip(self.values, trained_parts(self.model), strict=True):
            part.copy_(value)

    def state_dict(self) -> Mapping[str, Any]:
        """What a save holds."""
        return {"values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a save."""
        self.values = [torch.clone(saved) for saved in state["values"]]
