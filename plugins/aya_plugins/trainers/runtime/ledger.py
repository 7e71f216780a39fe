"""Measures of a run: kept on the device until they are reported, so that no step waits for them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Ledger:
    """Gathers the measures of each step and reports their means.

    Measures of a step are shares: added over forward passes and devices they give the step's value. continued_from: the step whose
    state a finished run had kept, where this one goes on from it.
    """

    def __init__(self, accelerator: Any, total: int, report: Callable[[int, int, Mapping[str, float]], None]) -> None:
        self.accelerator = accelerator
        self.total = total
        self.report = report
        self.waiting: list[tuple[Tensor, float]] = []
        self.names: tuple[str, ...] = ()
        self.pending: list[dict[str, float]] = []
        self.latest: dict[str, float] = {}
        self.continued_from: int | None = None
        self.tokens = 0
        self.clock = time.monotonic()

    def add(self, measures: Mapping[str, Tensor], grad_norm: Tensor, rate: float, tokens: int) -> None:
        """Take the measures of a step, still on the device. grad_norm is the same on all devices."""
        self.names = (*measures, "grad_norm")
        share = grad_norm.detach() / self.accelerator.num_processes
        values = torch.stack([*(value.detach().float() for value in measures.values()), share.float().to(self.device)])
        self.waiting.append((values, rate))
        self.tokens += tokens

    @property
    def device(self) -> torch.device:
        """Where measures wait."""
        device: torch.device = self.accelerator.device
        return device

    def settle(self) -> None:
        """Fetch what waits on the device."""
        if not self.waiting:
            return
        table = self.accelerator.reduce(torch.stack([values for values, _ in self.waiting])).tolist()
        for (_, rate), values in zip(self.waiting, table, strict=True):
            self.pending.append({**dict(zip(self.names, values, strict=True)), "learning_rate": rate})
        self.waiting.clear()

    def flush(self, done: int) -> None:
        """Report the means since the last report; the learning rate is the last one."""
        self.settle()
        if not self.pending:
            return
        now = time.monotonic()
        self.latest = {
            **{name: sum(row[name] for row in self.pending) / len(self.pending) for name in self.pending[0]},
            "learning_rate": self.pending[-1]["learning_rate"],
            "tokens_per_second": self.tokens / max(now - self.clock, 1e-9),
            "memory_mib": self._memory(),
        }
        self.clock, self.tokens = now, 0
        self.pending.clear()
        self.say(done, self.latest)

    def say(self, done: int, measures: Mapping[str, float]) -> None:
        """Report some measures as they are."""
        if self.accelerator.is_main_process:
            self.report(done, self.total, measures)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do something that is not training, whose time does not count in tokens per second."""
        began = time.monotonic()
        yield
        self.clock += time.monotonic() - began

    def state_dict(self) -> Mapping[str, Any]:
        """What a save holds: the measures that are not reported yet, the last report, and where the run began."""
        return {"pending": self.pending, "latest": self.latest, "continued_from": self.continued_from}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a save."""
        self.pending, self.latest = list(state["pending"]), dict(state["latest"])
        self.continued_from = state.get("continued_from")

    def _memory(self) -> float:
        """The most memory that any process had at once, MiB: on its GPU, or else in all."""
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
        return float(self.accelerator.gather(torch.tensor([peak], device=self.device)).max())
