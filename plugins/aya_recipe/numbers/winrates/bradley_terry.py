"""The Bradley-Terry model: strengths of models from battles between any of them, with differences in style as covariates.

P(i beats j) = sigmoid(strength_i - strength_j + style . coefficients). A tie is half a win. Fitted by maximum likelihood with
Newton's method.

Source: Bradley and Terry 1952, Biometrika 39; as Chatbot Arena fits it (arXiv 2403.04132, section 4), by a logistic regression.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aya_core.api import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 1e-8
"""Pulls every parameter to 0, so that a model that wins every game has a strength, too: about 20, a win rate of 100 to six digits. It
moves others by less than 1e-6."""

STEP = 2.0
"""Largest change of a parameter at once: Newton's method overshoots where almost all games have one winner."""

SMALLEST, MOST = 1e-6, 200
"""The change at which the fit is done, for the next one would be about its square; and the steps after which it has failed."""


def fit(
    one: NDArray[Any], other: NDArray[Any], points: NDArray[Any], weight: NDArray[Any], models: int, style: NDArray[Any] | None = None,
    start: NDArray[Any] | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Fit the strengths, whose sum is 0, and behind them the coefficients of style, in nats, shape (models + covariates,).

    one, other: places of the models, shape (battles,). points: of `one`, from 0 to 1. weight: games, 0 or more. style: covariates, shape
    (battles, covariates). start: where to begin, such as the fit to all of the battles.
    """
    import numpy as np

    if style is None:
        style = np.zeros((len(one), 0))
    width = models + style.shape[1]
    now: NDArray[Any] = np.zeros(width) if start is None else start.copy()
    level = np.zeros((width, width))
    level[:models, :models] = 1.0  # all strengths may grow alike: this holds their sum at 0
    for _ in range(MOST):
        chance = _sigmoid(now[one] - now[other] + style @ now[models:])
        missing = weight * (points - chance)
        gradient = np.concatenate([_scatter(one, other, missing, models), missing @ style]) - RIDGE * now
        gradient -= level @ now
        spread = weight * chance * (1 - chance)
        curvature = _curvature(one, other, spread, style, models) + level + RIDGE * np.eye(width)
        change = np.clip(np.linalg.solve(curvature, gradient), -STEP, STEP)
        now += change
        if np.abs(change).max() < SMALLEST:
            return now
    raise DataError("the Bradley-Terry model could not be fitted; check the verdicts for models that hardly meet")


def check_connected(models: list[str], pairs: Iterable[tuple[int, int]], source: str) -> None:
    """Raise DataError unless every model is linked to every other by battles."""
    group = list(range(len(models)))

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for one, other in pairs:
        group[root(one)] = root(other)
    apart = next((place for place in range(len(models)) if root(place) != root(0)), None)
    if apart is not None:
        raise DataError(
            f"{source}: no battles link '{models[0]}' and '{models[apart]}', not even through others, so they cannot be compared; "
            "rate them apart, or add battles between them"
        )


def _scatter(one: NDArray[Any], other: NDArray[Any], values: NDArray[Any], models: int) -> NDArray[Any]:
    import numpy as np

    return np.asarray(np.bincount(one, values, models) - np.bincount(other, values, models))


def _curvature(
    one: NDArray[Any], other: NDArray[Any], spread: NDArray[Any], style: NDArray[Any], models: int
) -> NDArray[Any]:
    """Minus the second derivatives of the log-likelihood."""
    import numpy as np

    width = models + style.shape[1]
    found = np.zeros((width, width))
    met = np.bincount(one * models + other, spread, models * models).reshape(models, models)
    met += met.T
    found[:models, :models] = np.diag(met.sum(axis=1)) - met
    for column, values in enumerate(style.T, start=models):
        found[:models, column] = found[column, :models] = _scatter(one, other, spread * values, models)
    found[models:, models:] = (style * spread[:, None]).T @ style
    return found


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
