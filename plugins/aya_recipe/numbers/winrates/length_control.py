"""Length-controlled win rates: what a judge would prefer if both answers were equally long.

The preference for a model on prompt x is explained by logit P = level + length * tanh(d / deviation of d) + slope * difficulty(x), where
d is the baseline's length less the model's, in characters. The win rate is the mean of P over the prompts with d = 0. As in AlpacaEval 2,
the fit is logistic regression with an L1 penalty whose strength is chosen by cross-validation in five folds of prompts, and preferences
between two lengths of one model (`gamed`), where they are given, hold the length's coefficient in place.

Source: Dubois et al. 2024, arXiv 2404.04475, section 3; `length_controlled_v1` of alpaca_eval 0.6, whose numbers these are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aya_core.api import AyaError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = 10
"""Penalties that are tried, from 1e-4 to 1e4 in equal steps of their logarithm."""

FOLDS = 5

GAMED_WEIGHT = 0.1
"""Of each gamed preference beside one of the model's. Two models are gamed, and together weigh 0.2."""

SEED = 123
"""Of liblinear, which visits coordinates in random order."""


class Gamed(NamedTuple):
    """Preferences for answers of one model that were only made longer or shorter, each of shape (rows,).

    length: standardized difference in length, before the tanh. difficulty: of the prompt. points: preference, from 0 to 1.
    """

    length: NDArray[Any]
    difficulty: NDArray[Any]
    points: NDArray[Any]


class Fit(NamedTuple):
    """A model's length-controlled preferences, (prompts,), their mean in resamples of the prompts, and the coefficients by name."""

    preferences: NDArray[Any]
    drawn: NDArray[Any]
    coefficients: dict[str, float]


def need_sklearn() -> None:
    """Raise AyaError where scikit-learn, which fits, is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise AyaError('length control needs scikit-learn; install the extra: pip install "aya-core[eval]"') from None


def fit(
    points: NDArray[Any],
    shorter: NDArray[Any],
    difficulty: NDArray[Any] | None = None,
    gamed: Gamed | None = None,
    counts: Sequence[NDArray[Any]] = (),
) -> Fit:
    """Fit the preferences for a model.

    points: preference for the model, from 0 to 1. shorter: the baseline's length less the model's, characters. difficulty: of each
    prompt; without it, that term is left out. All of shape (prompts,). counts: how often each prompt is drawn in each resample; the
    strength of the penalty is that of the whole. Raises DataError where the lengths do not differ.
    """
    import numpy as np

    deviation = float(shorter.std(ddof=1)) if len(shorter) > 1 else 0.0
    if not deviation:
        raise DataError(
            "the answers differ in length by the same amount on every prompt, so that length cannot be controlled"
        )
    ones = np.ones(len(points))
    names = ["length", *(["difficulty"] if difficulty is not None else []), "level"]
    own = np.column_stack([np.tanh(shorter / deviation), *([difficulty] if difficulty is not None else []), ones])
    features, targets, weights = own, points, ones
    if gamed is not None:
        middle = [gamed.difficulty] if difficulty is not None else []
        beside = np.column_stack([np.tanh(gamed.length), *middle, np.zeros(len(gamed.points))])
        # the gamed ones first, for the folds are cut in this order
        features, targets = np.concatenate([beside, own]), np.concatenate([gamed.points, points])
        weights = np.concatenate([np.full(len(beside), GAMED_WEIGHT), ones])
    strength = _chosen_strength(features, targets, weights)
    found = _coefficients(features, targets, weights, strength)
    equal = own.copy()
    equal[:, 0] = 0
    drawn = []
    for times in counts:
        drawn_weights = weights.copy()
        drawn_weights[len(weights) - len(points) :] *= times
        some = _coefficients(features, targets, drawn_weights, strength)
        drawn.append(times @ _chances(equal, some) / times.sum())
    return Fit(_chances(equal, found), np.array(drawn), dict(zip(names, found.tolist(), strict=True)))


def _chosen_strength(features: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any]) -> float:
    """The penalty (as C, its inverse) with the least mean loss on held-out folds."""
    import numpy as np

    strengths = np.logspace(-4, 4, STRENGTHS)
    folds = list(_folds(len(targets)))

    def loss(held: NDArray[Any], strength: float) -> float:
        found = _coefficients(features[~held], targets[~held], weights[~held], strength)
        return _loss(features[held], targets[held], weights[held], found)

    losses = [np.mean([loss(held, strength) for held in folds]) for strength in strengths.tolist()]
    return float(strengths[int(np.argmin(losses))])


def _folds(rows: int) -> Iterator[NDArray[Any]]:
    """Deal rows out like cards, the last one first."""
    import numpy as np

    dealt = np.arange(rows)[::-1] % min(FOLDS, rows)
    for fold in range(min(FOLDS, rows)):
        yield dealt == fold


def _coefficients(
    features: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any], strength: float
) -> NDArray[Any]:
    """Fit a preference p as a win of weight p and a loss of weight 1 - p."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        l1_ratio=1.0, C=strength, solver="liblinear", fit_intercept=False, random_state=SEED, max_iter=100
    )
    wins = np.repeat([1, 0], len(targets))
    both = np.concatenate([weights * targets, weights * (1 - targets)])
    return np.asarray(model.fit(np.concatenate([features, features]), wins, sample_weight=both).coef_[0])


def _loss(features: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any], coefficients: NDArray[Any]) -> float:
    import numpy as np

    chances = np.clip(_chances(features, coefficients), 1e-15, 1 - 1e-15)
    return float(-np.mean(weights * (targets * np.log(chances) + (1 - targets) * np.log(1 - chances))))


def _chances(features: NDArray[Any], coefficients: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(0.5 * (1 + np.tanh(features @ coefficients / 2)))
