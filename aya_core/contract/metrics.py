"""What an evaluator says of its metrics: unit, range, and which end is better. Nothing of it is guessed from values.

    metrics = {"accuracy": SHARE, "accuracy/*": SHARE, "unscored": FAULTS, "points": Metric(low=0, high=100, better="max")}

The first is the main one. A name that ends in `/*` stands for all that begin so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from aya_core.contract.errors import PluginError

Better: TypeAlias = Literal["max", "min"] | None
"""Which end of a metric is better; None where neither is."""

ANY = "/*"
"""Ends the declaration of names with a varying part."""

ROUNDING = 1e-6
"""By how much, of 1 or of its size where that is more, a value may be outside of its range: sums of float32 are."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    unit: "share" for shares of 1, which are shown in percent; else the word that stands behind the name, as "bits per byte" or
    "characters"; empty for a plain number, as points and rewards are. low, high: the range of the value of a row and of a corpus, None
    where it has no bound. better: which end is better; None where neither is.
    """

    unit: str = ""
    low: float | None = None
    high: float | None = None
    better: Better = None

    @property
    def is_share(self) -> bool:
        """Whether it is a share of 1."""
        return self.unit == "share"

    @property
    def described(self) -> str:
        """Its unit and direction in brackets, to stand behind its name: `, % (lower is better)`."""
        unit = ", %" if self.is_share else f", {self.unit}" if self.unit else ""
        return unit + (" (lower is better)" if self.better == "min" else "")

    def holds(self, value: float) -> bool:
        """Whether a value is in its range."""
        room = ROUNDING * max(1.0, abs(value))
        return (self.low is None or value >= self.low - room) and (self.high is None or value <= self.high + room)

    def as_row(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


SHARE = Metric("share", 0.0, 1.0, "max")
"""A share of which more is better, such as an accuracy."""

FAULTS = Metric("share", 0.0, 1.0, "min")
"""A share of what went wrong, such as rows without a score."""

COUNTED = Metric("share", 0.0, 1.0)
"""A share that is neither good nor bad."""


def metric_named(declared: Mapping[str, Metric], name: str) -> Metric | None:
    """What is declared of a metric: by its own name, or by the longest declaration that ends in `/*`; None for nothing."""
    if name in declared:
        return declared[name]
    patterns = [one for one in declared if one.endswith(ANY) and name.startswith(one[:-1]) and len(name) >= len(one)]
    return declared[max(patterns, key=len)] if patterns else None


def main_metric(declared: Mapping[str, Metric], who: str) -> str:
    """The main metric: the first that is declared. Raises PluginError where none is."""
    for name in declared:
        return name
    raise PluginError(
        f"{who} declares no metrics; its author must say `metrics = {{name: Metric(...)}}`, the main one first"
    )


def check_metric(declared: Mapping[str, Metric], name: str, value: float, who: str) -> Metric:
    """Return what is declared of a metric. Raises PluginError for one that is not, and for a value out of its range.

    who: the evaluator, for the message.
    """
    metric = metric_named(declared, name)
    if metric is None:
        known = ", ".join(declared) or "none"
        raise PluginError(
            f"{who} yielded the metric '{name}', which it does not declare (declared: {known}); its author must add it to `metrics` "
            "with its unit, its range and which end is better"
        )
    if not metric.holds(value):
        bounds = f"{'-inf' if metric.low is None else f'{metric.low:g}'} to {'inf' if metric.high is None else f'{metric.high:g}'}"
        raise PluginError(f"{who} yielded {value!r} for '{name}', whose range it declares as {bounds}")
    return metric
