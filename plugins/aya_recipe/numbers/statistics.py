"""Means with honest errors: rows are grouped by prompt, prompts by language, and languages count alike.

Several samples of a prompt are one observation; a language's value is a ratio of sums, so that weighted metrics (bits
per byte) and plain means are one formula. The standard error is the linearized one of a ratio estimator under
stratified sampling (Cochran, Sampling Techniques, 3rd ed., equations 2.39 and 5.6), the interval is normal, 95%.

Rows may say which item they are: the same question in every language. Languages are then no independent samples, and neither are
both directions of a sentence. So what an item adds to a number is summed over all of its rows first, and the variance is that of
these sums (Cochran, chapter 9; Cameron and Miller 2015, A Practitioner's Guide to Cluster-Robust Inference, equations 8 and 10).
Rows without an item are independent observations of their language.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

from aya_core.api import RowScore

Z95 = 1.959963984540054
"""The 97.5% quantile of the normal distribution."""

ITEMS = ""
"""The stratum of observations that say which item they are. Others are in that of their language."""

Observation = tuple[str, str]
"""Something that was drawn: its stratum, and an item or a prompt there."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and 95% interval. n: how many prompts it rests on.

    influences: by how much each observation moved the number, about; they add up to 0. Empty where that is not known.
    """

    value: float
    standard_error: float
    n: int
    influences: Mapping[Observation, float] = field(default_factory=dict, compare=False, repr=False)

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - Z95 * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + Z95 * self.standard_error

    @property
    def items(self) -> int:
        """How many items its rows name."""
        return sum(stratum == ITEMS for stratum, _ in self.influences)

    def among(self, count: int) -> tuple[float, float]:
        """The 95% interval where this is the most striking of `count` estimates: each is held to 5% / count (Bonferroni)."""
        half = NormalDist().inv_cdf(1 - 0.025 / count) * self.standard_error
        return self.value - half, self.value + half

    def as_row(self) -> dict[str, float | int | None]:
        """For a report. One prompt has no error: what is not known is None."""
        known = {"standard_error": self.standard_error, "low": self.low, "high": self.high}
        bounds = {name: number if math.isfinite(number) else None for name, number in known.items()}
        return {"value": self.value, **bounds, "n": self.n}


class Part(NamedTuple):
    """What a prompt adds to a metric: the sum of value x weight, and of weights. item: see `RowScore`."""

    total: float
    weight: float
    item: str | None = None


Sums = Mapping[str, Mapping[str, Part]]
"""The parts of a metric by language and prompt."""


def sums(rows: Iterable[RowScore]) -> Sums:
    """Add up the rows of one metric by language and prompt."""
    added: dict[str, dict[str, Part]] = defaultdict(dict)
    for row in rows:
        total, weight, item = added[row.language].get(row.prompt_id, Part(0.0, 0.0))
        added[row.language][row.prompt_id] = Part(total + row.value * row.weight, weight + row.weight, item or row.item)
    return added


def observation(language: str, prompt: str, item: str | None) -> Observation:
    """What is drawn with a row: its item, or else its prompt."""
    return (language, prompt) if item is None else (ITEMS, item)


def by_language(added: Sums) -> dict[str, Estimate]:
    """The metric in each language."""
    return {language: _ratio(language, prompts) for language, prompts in sorted(added.items())}


def mean(added: Sums) -> Estimate:
    """The unweighted mean over languages."""
    return mean_of(by_language(added))


def mean_of(languages: Mapping[str, Estimate]) -> Estimate:
    """The unweighted mean of a metric that is known by language."""
    return mean_of_numbers(list(languages.values()))


def mean_of_numbers(parts: list[Estimate]) -> Estimate:
    """The unweighted mean of numbers. Those that rest on the same observations move together; those of which nobody knows what they
    rest on are taken for independent."""
    if len(parts) == 1:
        return parts[0]
    influences: dict[Observation, float] = defaultdict(float)
    variance = 0.0
    for part in parts:
        if not part.influences:
            variance += (part.standard_error / len(parts)) ** 2
        for one, moved in part.influences.items():
            influences[one] += moved / len(parts)
    error = math.sqrt(variance + _variance(influences))
    return Estimate(sum(part.value for part in parts) / len(parts), error, sum(part.n for part in parts), influences)


def gain(before: Sums, after: Sums) -> Estimate | None:
    """The difference of two means over the same prompts, with the error of paired differences.

    Prompts that only one of the two has are left out; None where they have none in common.
    """
    common = in_common(before, after)
    if common is None:
        return None
    return less(*(mean(side) for side in common))


def gain_of_corpora(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> Estimate | None:
    """The same of numbers that are no means over rows; None where nobody knows what they rest on."""
    common = sorted(before.keys() & after.keys())
    sides = [[side[language] for language in common] for side in (before, after)]
    if not common or not all(part.influences for parts in sides for part in parts):
        return None
    return less(*map(mean_of_numbers, sides))


def less(one: Estimate, other: Estimate) -> Estimate:
    """The other number less the first, of which both rest on the same observations."""
    moved = {
        key: other.influences.get(key, 0.0) - one.influences.get(key, 0.0)
        for key in {**one.influences, **other.influences}
    }
    return Estimate(other.value - one.value, math.sqrt(_variance(moved)), min(one.n, other.n), moved)


def in_common(one: Sums, other: Sums) -> tuple[Sums, Sums] | None:
    """What both have of the same prompts, and who knows which item one is says it for both; None where there is nothing."""
    kept: tuple[dict[str, dict[str, Part]], dict[str, dict[str, Part]]] = ({}, {})
    for language in sorted(one.keys() & other.keys()):
        for prompt in sorted(one[language].keys() & other[language].keys()):
            first, second = one[language][prompt], other[language][prompt]
            item = first.item or second.item
            kept[0].setdefault(language, {})[prompt] = first._replace(item=item)
            kept[1].setdefault(language, {})[prompt] = second._replace(item=item)
    return kept if kept[0] else None


def _ratio(language: str, prompts: Mapping[str, Part]) -> Estimate:
    weight = sum(part.weight for part in prompts.values())
    value = sum(part.total for part in prompts.values()) / weight
    influences: dict[Observation, float] = defaultdict(float)
    for prompt, part in prompts.items():
        influences[observation(language, prompt, part.item)] += (part.total - value * part.weight) / weight
    return Estimate(value, math.sqrt(_variance(influences)), len(prompts), influences)


def _variance(influences: Mapping[Observation, float]) -> float:
    """Of their sum: in each stratum the squares of what its observations add beyond their mean; infinite for a single one."""
    strata: dict[str, list[float]] = defaultdict(list)
    for (stratum, _), moved in influences.items():
        strata[stratum].append(moved)
    return sum(map(_variance_of_sum, strata.values()))


def _variance_of_sum(moved: list[float]) -> float:
    n = len(moved)
    if n == 1:
        return math.inf
    center = sum(moved) / n
    return sum((one - center) ** 2 for one in moved) * n / (n - 1)
