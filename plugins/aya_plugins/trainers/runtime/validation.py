"""Evaluation during training: measures of held-out rows, the best of them, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor

from aya_core.api import AyaError
from aya_plugins.modeling.rows import Ints
from aya_plugins.trainers.runtime.order import PassLimits, forward_passes
from aya_plugins.trainers.runtime.settings import Validation
from aya_plugins.trainers.runtime.sharding import release
from aya_plugins.trainers.runtime.task import Task

BETTER = {
    **dict.fromkeys(("loss", "nll_loss", "regret", "kl", "rewards/rejected", "logps/rejected"), "min"),
    **dict.fromkeys(
        ("accuracy", "rewards/chosen", "rewards/margins", "rewards/accuracies", "logps/chosen", "reward"), "max"
    ),
}
"""Which end of a measure is better."""


class Watch:
    """Evaluates a task now and then, and knows which evaluation was best.

    latest, best: the measures of the last and of the best evaluation. best_step: steps done at the best. stale: evaluations
    since then. An evaluation whose measure is no number is never the best, unless it is the first.
    """

    def __init__(self, accelerator: Any, task: Task, settings: Validation, total: int, forward_tokens: int) -> None:
        self.accelerator = accelerator
        self.task = task
        self.settings = settings
        self.total = total
        self.forward_tokens = forward_tokens
        self.latest: dict[str, float] = {}
        self.best: dict[str, float] = {}
        self.best_step = 0
        self.stale = 0

    def is_due(self, done: int) -> bool:
        """Say whether to evaluate after so many steps: at both ends, and at every so manieth step between."""
        return done in (0, self.total) or (self.settings.every is not None and done % self.settings.every == 0)

    def look(self, model: Any, done: int) -> bool:
        """Evaluate; say whether it is the best so far. Raises AyaError for a `best_by` that the task does not measure."""
        found = measure(self.accelerator, model, self.task, self.forward_tokens)
        self.latest = {f"validation/{name}": value for name, value in found.items()}
        if not self.best:
            self._check()
        if not self.best or self._gain() > 0:
            self.best, self.best_step, self.stale = self.latest, done, 0
            return True
        self.stale += 1
        return False

    @property
    def has_lost_patience(self) -> bool:
        """Whether training should end."""
        return self.settings.patience is not None and self.stale >= self.settings.patience

    @property
    def kept(self) -> Mapping[str, float]:
        """The measures of the weights that are written, and which they are."""
        if self.settings.keep == "best":
            return {**self.best, "best_step": self.best_step}
        return self.latest

    def state_dict(self) -> Mapping[str, Any]:
        """What a save holds."""
        return {"latest": self.latest, "best": self.best, "best_step": self.best_step, "stale": self.stale}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a save."""
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def _goal(self) -> str | None:
        name = self.settings.best_by
        return BETTER.get(name) or BETTER.get(name.rpartition("/")[0])

    def _check(self) -> None:
        """Refuse a `best_by` that is not measured, or of which nobody knows which end is better."""
        name = self.settings.best_by
        if f"validation/{name}" in self.latest and self._goal is not None:
            return
        known = sorted({base for base in BETTER if f"validation/{base}" in self.latest})
        raise AyaError(
            f"trainer '{self.task.name}': validation.best_by is '{name}'; expected one of {', '.join(known)}, or one of "
            f"these of a language of the held-out rows, as {known[0]}/{self.task.prompts[0].language}"
        )

    def _gain(self) -> float:
        """By how much the latest evaluation is better than the best; 0 where it is no number."""
        name = f"validation/{self.settings.best_by}"
        now, then = self.latest[name], self.best[name]
        if math.isnan(then) and not math.isnan(now):
            return math.inf
        gain = now - then if self._goal == "max" else then - now
        return 0.0 if math.isnan(gain) else gain


def measure(accelerator: Any, model: Any, task: Task, forward_tokens: int) -> dict[str, float]:
    """Give a task's measures over all its rows, and over those of each language as `name/language`.

    Nothing random is left on: no dropout. The forward passes are the same on any number of devices, which share them.
    """
    passes = _passes(task, forward_tokens)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    mine = passes[rank::ranks]
    fillers = -(-len(passes) // ranks) - len(mine)  # sharded models wait for one another in each pass
    everything = numpy.arange(len(task.lengths))
    languages = {language: rows for language, rows, _ in passes}
    places = {language: 1 + place for place, language in enumerate(languages)}
    sums: dict[str, Tensor] = {}
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for number, (language, rows, part) in enumerate([*mine, *passes[:1] * fillers]):
            once = Once(model)
            for total, place in ((everything, 0), (rows, places[language])):
                for name, share in task.loss(once, part, total).items():
                    column = sums.setdefault(
                        name, torch.zeros(1 + len(places), dtype=torch.float64, device=share.device)
                    )
                    column[place] += share.double() if number < len(mine) else 0.0
                once.rewind()
    release(model)
    model.train(was_training)
    table = accelerator.reduce(torch.stack(list(sums.values()))).tolist()
    whole = {name: values[0] for name, values in zip(sums, table, strict=True)}
    parts = {
        f"{name}/{language}": values[place]
        for name, values in zip(sums, table, strict=True)
        for language, place in places.items()
    }
    return {**whole, **parts}


class Once:
    """Runs a module, and after `rewind` gives the same results again in the same order.

    A task's shares of the same rows in two totals take one forward pass that way.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._results: list[Any] = []
        self._next = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Give the next result."""
        if self._next == len(self._results):
            self._results.append(self._module(*arguments, **named))
        self._next += 1
        return self._results[self._next - 1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def rewind(self) -> None:
        """Begin again."""
        self._next = 0


def _passes(task: Task, forward_tokens: int) -> list[tuple[str, Ints, Ints]]:
    """Forward passes of one language each: the language, all its rows, and those of the pass."""
    spoken = numpy.array([prompt.language for prompt in task.prompts])
    return [
        (str(language), rows, part)
        for language in numpy.unique(spoken)
        for rows in [numpy.flatnonzero(spoken == language)]
        for part in forward_passes(rows, task, PassLimits(forward_tokens), 0, 1)
    ]
