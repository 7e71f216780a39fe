"""The bootstrap over prompts: how far a number would move with other prompts of the same kind.

Prompts are drawn with replacement within their language, so that each keeps its share; what belongs to a prompt (both orders, all
samples) is drawn together. Where rows say which item they are, items are drawn, each with all of its rows in all languages. The draws
depend on the seed and on how many prompts a language has: two models that answered the same prompts meet the same draws, and the
difference of their numbers, draw by draw, is that of a paired bootstrap.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from aya_core.api import AyaError
from aya_recipe.numbers.statistics import Part, Sums, observation

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000

COUNTS = 2**22
"""Numbers of a matrix of counts that is held in memory."""


def need_numpy() -> None:
    """Raise AyaError where numpy, which draws, is not installed."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise AyaError('the bootstrap needs numpy; install the extra: pip install "aya-core[eval]"') from None


def counts(
    prompts: int, name: str, *, resamples: int, seed: int = 0, block: int | None = None
) -> Iterator[NDArray[Any]]:
    """Yield how often each prompt is drawn in each resample, in blocks of shape (some resamples, prompts), float64.

    name: of the language, so that languages are drawn independently. block: resamples at a time; the draws are the same for any.
    """
    import numpy as np

    source = np.random.default_rng([seed, crc32(name.encode()), prompts])
    size = block or max(1, COUNTS // prompts)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = source.integers(0, prompts, size=(rows, prompts))
        drawn += np.arange(0, rows * prompts, prompts)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * prompts).reshape(rows, prompts).astype(np.float64)


def sums(values: NDArray[Any], name: str, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[Any]:
    """Draw the sums over a language's prompts, shape (resamples, columns). values: of each prompt, shape (prompts, columns)."""
    import numpy as np

    return np.concatenate([block @ values for block in counts(len(values), name, resamples=resamples, seed=seed)])


def ratios(totals: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Divide drawn sums; NaN where no weight was drawn."""
    import numpy as np

    return np.asarray(np.divide(totals, weights, out=np.full_like(weights, np.nan), where=weights > 0))


def draws(added: Sums, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Draw a metric in each language, shape (resamples,). Their mean over languages is drawn by the mean of these.

    added: as `statistics.sums` gives it. 23 languages of 500 prompts take a fraction of a second.
    """
    import numpy as np

    languages = sorted(added)
    strata: dict[str, dict[str, list[tuple[int, Part]]]] = {}
    for place, language in enumerate(languages):
        for prompt, part in added[language].items():
            stratum, key = observation(language, prompt, part.item)
            strata.setdefault(stratum, {}).setdefault(key, []).append((place, part))
    totals = np.zeros((2, len(languages), resamples))
    for name, drawn in sorted(strata.items()):
        places = sorted({place for parts in drawn.values() for place, _ in parts})
        values = np.zeros((len(drawn), 2, len(places)))
        columns = {place: column for column, place in enumerate(places)}
        for row, key in enumerate(sorted(drawn)):
            for place, part in drawn[key]:
                values[row, :, columns[place]] += part[:2]
        found = sums(values.reshape(len(drawn), -1), name, resamples=resamples, seed=seed)
        totals[:, places] += found.T.reshape(2, len(places), resamples)
    return {language: ratios(totals[0, place], totals[1, place]) for place, language in enumerate(languages)}


def interval(drawn: NDArray[Any], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of numbers that were drawn, those that are NaN left out."""
    import numpy as np

    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(added: Sums, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """The 95% interval of a metric's unweighted mean over languages."""
    import numpy as np

    parts: Sequence[NDArray[Any]] = list(draws(added, resamples=resamples, seed=seed).values())
    return interval(np.nanmean(parts, axis=0))
