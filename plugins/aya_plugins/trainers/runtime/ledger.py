"""Measures of a run: kept on the device until they are reported, so that no step waits for them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from aya_core.api import AyaError


class Ledger:
    """Gathers the measures of each step and reports their means.

    Measures of a step are shares: added over forward passes and devices they give the step's value.
    """

    def __init__(
        self, accelerator: Any, total: int, report: Callable[[int, int, Mapping[str, float]], None], name: str
    ) -> None:
        self.accelerator = accelerator
        self.total = total
        self.report = report
        self.name = name
        self.waiting: list[tuple[int, Tensor, float, int]] = []
        self.names: tuple[str, ...] = ()
        self.pending: list[dict[str, float]] = []
        self.latest: dict[str, float] = {}
        self.clock = time.monotonic()

    def add(self, step: int, measures: Mapping[str, Tensor], grad_norm: Tensor, rate: float, tokens: int) -> None:
        """Take the measures of a step, still on the device. grad_norm is the same on all devices."""
        self.names = (*measures, "grad_norm")
        share = grad_norm.detach() / self.accelerator.num_processes
        values = torch.stack([*(value.detach().float() for value in measures.values()), share.float().to(self.device)])
        self.waiting.append((step, values, rate, tokens))

    @property
    def device(self) -> torch.device:
        """Where measures wait."""
        device: torch.device = self.accelerator.device
        return device

    def settle(self) -> None:
        """Fetch what waits on the device. Raises AyaError at the first loss that is no finite number."""
        if not self.waiting:
            return
        table = self.accelerator.reduce(torch.stack([values for _, values, _, _ in self.waiting])).tolist()
        for (step, _, rate, tokens), values in zip(self.waiting, table, strict=True):
            measures = dict(zip(self.names, values, strict=True))
            for name in ("loss", "grad_norm"):
                if not math.isfinite(measures[name]):
                    raise AyaError(
                        f"trainer '{self.name}': {name} is {measures[name]} at step {step + 1} of "
                        f"{self.total} (learning rate "
                        f"{rate:.3g}); lower learning_rate, raise warmup, or train with precision: float32"
                    )
            self.pending.append({**measures, "learning_rate": rate, "tokens": float(tokens)})
        self.waiting.clear()

    def flush(self, done: int) -> None:
        """Report the means since the last report; the learning rate is the last one."""
        self.settle()
        if not self.pending:
            return
        means = {name: sum(row[name] for row in self.pending) / len(self.pending) for name in self.pending[0]}
        tokens = sum(row["tokens"] for row in self.pending)
        now = time.monotonic()
        self.latest = {
            **{name: value for name, value in means.items() if name != "tokens"},
            "learning_rate": self.pending[-1]["learning_rate"],
            "tokens_per_second": tokens / max(now - self.clock, 1e-9),
        }
        self.clock = now
        self.pending.clear()
        if self.accelerator.is_main_process:
            self.report(done, self.total, self.latest)
