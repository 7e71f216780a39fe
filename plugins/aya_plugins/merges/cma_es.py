"""CMA-ES: looks for good points with a normal distribution that learns from the better half of each generation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from aya_core.api import PluginError


def check_installed() -> None:
    """Raise PluginError where the library is missing, without importing it."""
    if find_spec("cma") is None:
        raise PluginError(
            "a search optimizes with CMA-ES and needs the module 'cma'; install the extra: pip install \"aya-core[search]\""
        )


class CmaEs:
    """CMA-ES as in the library `cma`, from the origin with a standard deviation of 1.

    population: points in a generation; None takes 4 + floor(3 ln dimensions). Its random numbers are its own: what is drawn
    elsewhere between two generations changes nothing.

    Source: Hansen and Ostermeier 2001, Evolutionary Computation 9(2); Hansen 2016, arXiv 1604.00772, for the defaults.
    """

    def __init__(self, dimensions: int, population: int | None, seed: int) -> None:
        import numpy as np

        cma = _library()
        draws = np.random.default_rng(seed)
        # NaN leaves numpy's global generator alone.
        options: dict[str, Any] = {
            "seed": math.nan, "randn": lambda *shape: draws.standard_normal(shape), "verbose": -9,
        }  # fmt: skip
        if population is not None:
            options["popsize"] = population
        self._version = str(cma.__version__)
        self._strategy = cma.CMAEvolutionStrategy([0.0] * dimensions, 1.0, options)

    def ask(self) -> Sequence[Sequence[float]]:
        """Draw a generation."""
        return [[float(value) for value in point] for point in self._strategy.ask()]

    def tell(self, points: Sequence[Sequence[float]], losses: Sequence[float]) -> None:
        """Move and reshape the distribution towards the better points."""
        import numpy as np

        self._strategy.tell([np.array(point) for point in points], list(losses))

    def signature(self) -> str:
        """Name the method and the library."""
        return f"CMA-ES, population {self._strategy.popsize}, cma {self._version}"


def _library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses matplotlib, which we have no use for
        import cma
    return cma
