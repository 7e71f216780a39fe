"""Memory that runs out in training: which settings to lower, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import nn

from aya_core.api import AyaError, TrainingJob
from aya_plugins.modeling.memory import is_out_of_memory
from aya_plugins.modeling.rows import Ints
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.sizes import in_words, moment_bytes, trained_numbers, weight_bytes

NO_DIFFERENCE = "`batch_rows` makes no difference: a step is added up from forward passes"


@dataclass(frozen=True)
class Pass:
    """A forward pass. rows: in it (pairs, groups). longest: tokens of its longest row. tokens: of all, padding included. is_followed: by a
    backward pass."""

    rows: int
    longest: int
    tokens: int
    is_followed: bool = True

    @classmethod
    def of(cls, lengths: Ints) -> Pass:
        """Describe a pass by the lengths of its rows."""
        longest = int(lengths.max(initial=0))
        return cls(len(lengths), longest, longest * len(lengths))


@contextmanager
def lowering(
    name: str, settings: LoopSettings, what: str, module: nn.Module | None = None, now: Pass | None = None,
    *, saved: Callable[[], Any] = lambda: None,
) -> Iterator[None]:  # fmt: skip
    """Raise AyaError where memory runs out inside, with the settings that would help here.

    name: of the trainer. what: was done, for the message. module: what is trained, once there is one. now: the forward pass, where it
    was one. saved: finds the save that a run goes on from.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # an OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        message = explain(name, settings, what, module, now)
        save = saved()
    # Outside `except`, where the traceback would keep the tensors of the failed pass alive.
    else:
        return
    kept = f" The same command goes on from {save}." if save else ""
    raise AyaError(f"{message}.{kept}")


def explain(name: str, settings: LoopSettings, what: str, module: nn.Module | None, now: Pass | None) -> str:
    """Write the message, without its full stop."""
    advice = [*_of_the_pass(settings, now), *_of_the_state(settings, module)]
    tried = "; or ".join(advice) or "use a machine with more memory, or a smaller model"
    more = f". {NO_DIFFERENCE}" if now is not None else ""
    return f"trainer '{name}': out of memory while {what}{_holds(settings, module)}. Set {tried}{more}"


def _of_the_pass(settings: LoopSettings, now: Pass | None) -> Iterator[str]:
    """What makes a forward pass smaller."""
    if now is None:
        return
    if now.rows > 1:
        lower = max(now.longest, now.tokens // 2)
        yield (
            f"`forward_tokens: {lower}` (now {settings.forward_tokens}; the forward pass had {now.rows} rows of up to {now.longest} "
            f"tokens, {now.tokens} in all), which changes no result"
        )
    if now.is_followed and not settings.activation_checkpointing:
        yield "`activation_checkpointing: true`, for a third more time"
    if now.rows == 1:
        yield (
            f"`max_tokens: {max(8, min(settings.max_tokens, now.longest) // 2)}` (now {settings.max_tokens}; the forward pass was a "
            f"single row of {now.longest} tokens), which cuts longer rows"
        )


def _of_the_state(settings: LoopSettings, module: nn.Module | None) -> Iterator[str]:
    """What makes weights, gradients and moments smaller."""
    size = 0 if module is None else trained_numbers(module)
    if settings.lora is None:
        left = "" if module is None else f", which leaves about {in_words(weight_bytes(module))} of them"
        yield f"`lora: {{rank: 16}}`{left}"
        if settings.optimizer == "adamw":
            yield f"`optimizer: adamw-8bit`{f', {in_words(6 * size)} less' if size else ''}"
    if settings.ema is not None:
        yield f"`ema: null`{f', {in_words(4 * size)} less' if size else ''}"
    if torch.cuda.is_available() and settings.launch.profile in ("single", "multi-gpu"):
        yield "`launch: {profile: fsdp2}` on several GPUs, which share it"


def _holds(settings: LoopSettings, module: nn.Module | None) -> str:
    if module is None:
        return ""
    beside = 4 + moment_bytes(settings) + (4 if settings.ema is not None else 0)
    held = weight_bytes(module) + beside * trained_numbers(module)
    return f" (weights, gradients and moments take {in_words(held)})"


Trains = TypeVar("Trains", bound=Callable[[Any, TrainingJob], Mapping[str, float]])


def told_what_to_lower(name: str) -> Callable[[Trains], Trains]:
    """Have the `train` of a trainer with `settings` say so where memory runs out before the first step. name: of the trainer."""

    def told(train: Trains) -> Trains:
        @wraps(train)
        def run(self: Any, job: TrainingJob) -> Mapping[str, float]:
            with lowering(name, self.settings, "rows and models were made ready"):
                return train(self, job)

        return run  # type: ignore[return-value]

    return told
