"""Means with honest errors: rows are grouped by prompt, prompts by language, and languages count alike.

Several samples of a prompt are one observation; a language's value is a ratio of sums, so that weighted metrics (bits
per byte) and plain means are one formula. The standard error is the linearized one of a ratio estimator under
stratified sampling (Cochran, Sampling Techniques, 3rd ed., equations 2.39 and 5.6), the interval is normal, 95%.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from aya_core.api import RowScore

Z95 = 1.959963984540054
"""The 97.5% quantile of the normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and 95% interval. n: how many prompts it rests on."""

    value: float
    standard_error: float
    n: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - Z95 * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + Z95 * self.standard_error

    def among(self, count: int) -> tuple[float, float]:
        """The 95% interval where this is the most striking of `count` estimates: each is held to 5% / count (Bonferroni)."""
        half = NormalDist().inv_cdf(1 - 0.025 / count) * self.standard_error
        return self.value - half, self.value + half

    def as_row(self) -> dict[str, float | int | None]:
        """For a report. One prompt has no error: what is not known is None."""
        known = {"standard_error": self.standard_error, "low": self.low, "high": self.high}
        bounds = {name: number if math.isfinite(number) else None for name, number in known.items()}
        return {"value": self.value, **bounds, "n": self.n}


Sums = Mapping[str, Mapping[str, tuple[float, float]]]
"""(sum of value x weight, sum of weights) by language and prompt."""


def sums(rows: Iterable[RowScore]) -> Sums:
    """Add up the rows of one metric by language and prompt."""
    added: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for row in rows:
        value, weight = added[row.language].get(row.prompt_id, (0.0, 0.0))
        added[row.language][row.prompt_id] = (value + row.value * row.weight, weight + row.weight)
    return added


def by_language(added: Sums) -> dict[str, Estimate]:
    """The metric in each language."""
    return {language: _ratio(list(prompts.values())) for language, prompts in sorted(added.items())}


def mean(added: Sums) -> Estimate:
    """The unweighted mean over languages."""
    return mean_of(by_language(added))


def mean_of(languages: Mapping[str, Estimate]) -> Estimate:
    """The unweighted mean of a metric that is known by language."""
    parts = list(languages.values())
    error = math.sqrt(sum(part.standard_error**2 for part in parts)) / len(parts)
    return Estimate(sum(part.value for part in parts) / len(parts), error, sum(part.n for part in parts))


def gain(before: Sums, after: Sums) -> Estimate | None:
    """The difference of two means over the same prompts, with the error of paired differences.

    Prompts that only one of the two has are left out; None where they have none in common.
    """
    parts = []
    for language in sorted(set(before) & set(after)):
        common = sorted(set(before[language]) & set(after[language]))
        if not common:
            continue
        first = [before[language][prompt] for prompt in common]
        second = [after[language][prompt] for prompt in common]
        one, two = _ratio(first), _ratio(second)
        residuals = [b - a for a, b in zip(_residuals(first, one.value), _residuals(second, two.value), strict=True)]
        parts.append(Estimate(two.value - one.value, _error(residuals), len(common)))
    if not parts:
        return None
    error = math.sqrt(sum(part.standard_error**2 for part in parts)) / len(parts)
    return Estimate(sum(part.value for part in parts) / len(parts), error, sum(part.n for part in parts))


def _ratio(pairs: list[tuple[float, float]]) -> Estimate:
    value = sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs)
    return Estimate(value, _error(_residuals(pairs, value)), len(pairs))


def _residuals(pairs: list[tuple[float, float]], value: float) -> list[float]:
    mean_weight = sum(pair[1] for pair in pairs) / len(pairs)
    return [(total - value * weight) / mean_weight for total, weight in pairs]


def _error(residuals: list[float]) -> float:
    n = len(residuals)
    return math.sqrt(sum(residual**2 for residual in residuals) / (n * (n - 1))) if n > 1 else math.inf
