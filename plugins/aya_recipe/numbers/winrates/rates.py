"""The win rate of every model against the baseline, with its standard error and interval.

Where every battle is against the baseline, a win rate is the weighted mean of the points, which is also what the Bradley-Terry model
says. Elsewhere, and under style control, it is the chance of a win under that model; without a baseline, the mean chance over
the other models.

Standard errors: of preferences, that of the mean, as AlpacaEval gives it; of verdicts, that of the bootstrap over prompts, as
Arena-Hard's is over verdicts. Where the same questions are asked in several languages, a question with all of its battles is one
observation: of means, the cluster-robust error of `statistics`. Intervals are the bootstrap's percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aya_core.api import DataError
from aya_recipe.numbers import bootstrap, statistics
from aya_recipe.numbers.statistics import Estimate, Part
from aya_recipe.numbers.winrates import bradley_terry
from aya_recipe.numbers.winrates.battles import Arrays, Battles
from aya_recipe.numbers.winrates.style import Style, covariates

if TYPE_CHECKING:
    from numpy.typing import NDArray

ELO = 400 / math.log(10)
"""Points of Elo a nat."""

PLACES = 1000.0
"""The baseline's Elo, or the mean over models where there is no baseline."""


@dataclass(frozen=True)
class Rate:
    """A model's win rate in percent, with its standard error and 95% interval; what is not known is NaN.

    n: prompts it rests on. wins, losses, ties: games, by weight; a preference above half is a win. rating: Elo, where the
    Bradley-Terry model was fitted. mean: the same as a mean of points, with what moves it, where it is one. drawn: of each resample,
    shape (resamples,).
    """

    model: str
    win_rate: float
    standard_error: float
    low: float
    high: float
    n: int
    wins: float
    losses: float
    ties: float
    rating: float | None = None
    mean: Estimate | None = field(default=None, compare=False, repr=False)
    drawn: NDArray[Any] | None = field(default=None, compare=False, repr=False)

    def as_row(self) -> dict[str, Any]:
        """For JSON: what is not known is None."""
        fields = {name: getattr(self, name) for name in ("win_rate", "standard_error", "low", "high")}
        known = {name: value if math.isfinite(value) else None for name, value in fields.items()}
        counts = {"n": self.n, "wins": self.wins, "losses": self.losses, "ties": self.ties}
        return {"model": self.model, **known, **counts, **({} if self.rating is None else {"rating": self.rating})}


@dataclass(frozen=True)
class Rates:
    """The win rates of a file's models, best first. style: the coefficient of each measure of style, where it was controlled.
    is_shared: whether languages share their questions. control: under length control, the coefficients of each model's fit."""

    models: Sequence[Rate]
    baseline: str | None
    method: str
    style: dict[str, float]
    is_shared: bool = False
    control: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `aya winrate --json`."""
        found: dict[str, Any] = {"models": [one.as_row() for one in self.models]}
        extra = {"style": self.style, "length_control": self.control}
        found |= {"baseline": self.baseline, "method": self.method}
        return found | {name: value for name, value in extra.items() if value}


def rates(battles: Battles, *, style: bool = False, resamples: int = bootstrap.RESAMPLES, seed: int = 0) -> Rates:
    """Rate every model but the baseline. Raises DataError where models cannot be compared."""
    bootstrap.need_numpy()
    arrays = Arrays(battles)
    base = None if battles.baseline is None else arrays.models.index(battles.baseline)
    shown = [place for place in range(len(arrays.models)) if place != base]
    if base is not None and not style and bool(((arrays.one == base) | (arrays.other == base)).all()):
        method, ratings, coefficients = "mean", None, {}
        values, drawn = _means(arrays, base, resamples, seed)
    else:
        method = "bradley-terry"
        pairs = set(zip(arrays.one.tolist(), arrays.other.tolist(), strict=True))
        bradley_terry.check_connected(arrays.models, sorted(pairs), battles.source)
        extra = _covariates(battles) if style else None
        fitted = _fit(arrays, extra, arrays.weight)
        values = _chances(fitted, arrays, base)
        drawn = _drawn(arrays, extra, fitted, base, resamples, seed)
        ratings = PLACES + ELO * (fitted[: len(arrays.models)] - (0 if base is None else fitted[base]))
        coefficients = dict(zip(Style._fields, fitted[len(arrays.models) :].tolist(), strict=True)) if style else {}
    found = []
    for place in shown:
        counted = Counted(battles, arrays.models[place])
        spread = drawn[:, place]
        is_known = counted.drawn > 1 and resamples > 1
        is_mean = method == "mean"
        of_mean = is_mean and (bool(battles.pool) or not battles.are_verdicts)
        error = counted.mean.standard_error if of_mean else float(spread.std(ddof=1)) if is_known else math.nan
        low, high = bootstrap.interval(spread) if is_known else (math.nan, math.nan)
        rating = None if ratings is None else float(ratings[place])
        value = 100 * float(values[place])
        counts = (counted.prompts, counted.wins, counted.losses, counted.ties)
        mean = counted.mean if is_mean else None
        found.append(Rate(counted.model, value, 100 * error, 100 * low, 100 * high, *counts, rating, mean, spread))
    found.sort(key=lambda one: (-one.win_rate, one.model))
    return Rates(found, battles.baseline, method, coefficients, bool(battles.pool))


def mean_of(parts: Sequence[Rates]) -> Sequence[Rate]:
    """The unweighted mean over languages of each model that is in all of them. The interval is normal.

    Where languages share their questions, an item is drawn in all of them together.
    """
    found = []
    for name in [one.model for one in parts[0].models]:
        mine = [one for part in parts for one in part.models if one.model == name]
        if len(mine) == len(parts):
            value = sum(one.win_rate for one in mine) / len(mine)
            error = _error_of_mean(mine, is_shared=parts[0].is_shared)
            low, high = value - statistics.Z95 * error, value + statistics.Z95 * error
            games = (sum(one.wins for one in mine), sum(one.losses for one in mine), sum(one.ties for one in mine))
            found.append(Rate(name, value, error, low, high, sum(one.n for one in mine), *games))
    return found


def _error_of_mean(mine: Sequence[Rate], *, is_shared: bool) -> float:
    if not is_shared:
        return math.sqrt(sum(one.standard_error**2 for one in mine)) / len(mine)
    means = [one.mean for one in mine if one.mean is not None]
    if len(means) == len(mine):
        return 100 * statistics.mean_of_numbers(means).standard_error
    import numpy as np

    drawn = [one.drawn for one in mine if one.drawn is not None]
    return 100 * float(np.mean(drawn, axis=0).std(ddof=1))


class Counted:
    """What a model's battles add up to. drawn: how many items, or prompts that name none, a resample draws from."""

    def __init__(self, battles: Battles, model: str) -> None:
        self.model = model
        self.wins = self.losses = self.ties = 0.0
        added: dict[str, Part] = {}
        for row in battles.rows:
            if model not in (row.one, row.other):
                continue
            points = row.points if row.one == model else 1 - row.points
            key = f"{row.language}/{row.prompt}"
            total, weight, item = added.get(key, Part(0.0, 0.0, row.item if battles.pool else None))
            added[key] = Part(total + points * row.weight, weight + row.weight, item)
            self.wins += row.weight * (points > 0.5)
            self.losses += row.weight * (points < 0.5)
            self.ties += row.weight * (points == 0.5)
        self.prompts = len(added)
        self.drawn = len({(part.item is None, part.item or key) for key, part in added.items()})
        self.mean = statistics.mean({"all": added})


def _means(arrays: Arrays, base: int, resamples: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weighted mean of points of each model against the baseline, and the same of each resample."""
    import numpy as np

    models = len(arrays.models)
    is_one = arrays.other == base
    cell = arrays.prompt * models + np.where(is_one, arrays.one, arrays.other)
    points = np.where(is_one, arrays.points, 1 - arrays.points)
    size = arrays.prompts * models
    weights = np.bincount(cell, arrays.weight, size).reshape(-1, models)
    totals = np.bincount(cell, arrays.weight * points, size).reshape(-1, models)
    both = np.hstack([totals, weights])
    parts = [
        bootstrap.sums(both[start:end], name, resamples=resamples, seed=seed) for name, start, end in arrays.strata
    ]
    drawn = np.sum(parts, axis=0)
    whole = both.sum(axis=0)
    return bootstrap.ratios(whole[:models], whole[models:]), bootstrap.ratios(drawn[:, :models], drawn[:, models:])


def _covariates(battles: Battles) -> NDArray[Any]:
    styles = []
    for row in battles.rows:
        if row.styles is None:
            raise DataError(
                f"{row.place}: no style of the answers; expected their texts (answer_a and answer_b, output_1 and output_2, or "
                "conversation_a and conversation_b) or their counts (conv_metadata, or sum_assistant_a_tokens, header_count_a, "
                "list_count_a, bold_count_a and the same of b); leave out --style to rate without"
            )
        styles.append(row.styles)
    return covariates(styles)


def _fit(
    arrays: Arrays, style: NDArray[Any] | None, weight: NDArray[Any], start: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Fit the Bradley-Terry model. Without style, battles of the same two models are added up first."""
    import numpy as np

    models = len(arrays.models)
    if style is not None:
        return bradley_terry.fit(arrays.one, arrays.other, arrays.points, weight, models, style, start)
    pair = arrays.one * models + arrays.other
    games = np.bincount(pair, weight, models * models)
    won = np.bincount(pair, weight * arrays.points, models * models)
    met = np.flatnonzero(games)
    one, other = np.divmod(met, models)
    return bradley_terry.fit(one, other, won[met] / games[met], games[met], models, None, start)


def _chances(fitted: NDArray[Any], arrays: Arrays, base: int | None) -> NDArray[Any]:
    """The chance of each model to win against the baseline, or the mean of those against each other model; equal in style."""
    import numpy as np

    strength = fitted[: len(arrays.models)]
    if base is not None:
        return np.asarray(1 / (1 + np.exp(strength[base] - strength)))
    chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    return np.asarray((chance.sum(axis=1) - 0.5) / (len(strength) - 1))


def _drawn(
    arrays: Arrays, style: NDArray[Any] | None, fitted: NDArray[Any], base: int | None, resamples: int, seed: int
) -> NDArray[Any]:
    """The chances of each resample, shape (resamples, models)."""
    import numpy as np

    found = [
        _chances(_fit(arrays, style, arrays.weight * drawn[arrays.prompt], fitted), arrays, base)
        for drawn in all_counts(arrays, resamples, seed)
    ]
    return np.array(found)


def all_counts(arrays: Arrays, resamples: int, seed: int) -> Iterator[NDArray[Any]]:
    """How often each prompt is drawn, resample by resample."""
    import numpy as np

    block = max(1, bootstrap.COUNTS // arrays.prompts)
    streams = [
        bootstrap.counts(end - start, name, resamples=resamples, seed=seed, block=block)
        for name, start, end in arrays.strata
    ]
    for blocks in zip(*streams, strict=True):
        yield from np.hstack(blocks)
