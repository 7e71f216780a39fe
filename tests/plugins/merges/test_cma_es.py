"""CMA-ES as an optimizer: what the contract promises."""

import numpy as np
import pytest

from aya_core.api import PluginError
from aya_plugins.merges import aya_optimizer
from aya_plugins.merges.cma_es import CmaEs


def generations(optimizer, count, disturb=lambda: None):
    asked = []
    for _ in range(count):
        points = optimizer.ask()
        disturb()
        asked.append(points)
        optimizer.tell(points, [sum((value - 1) ** 2 for value in point) for point in points])
    return asked


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_the_same_seed_asks_the_same_whatever_else_draws(dimensions):
    undisturbed = generations(CmaEs(dimensions, None, 3), 6)
    assert generations(CmaEs(dimensions, None, 3), 6, disturb=lambda: np.random.seed(0)) == undisturbed
    assert generations(CmaEs(dimensions, None, 4), 6) != undisturbed


def test_numpys_global_generator_is_left_alone():
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    generations(CmaEs(3, None, 3), 3)
    assert np.random.get_state()[1].tolist() == before


def test_it_begins_around_the_origin_with_a_spread_of_one():
    points = np.array([CmaEs(4, 8, seed).ask() for seed in range(100)])
    assert abs(points.mean()) < 0.1
    assert points.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("population", [3, 4, 11])
def test_the_population_is_as_asked(population):
    assert [len(points) for points in generations(CmaEs(3, population, 0), 4)] == [population] * 4


def test_it_comes_nearer():
    asked = generations(CmaEs(3, None, 1), 30)
    assert abs(np.array(asked[-1]) - 1).max() < 0.1 < abs(np.array(asked[0]) - 1).max()


def test_equal_losses_are_no_error():
    optimizer = CmaEs(2, None, 0)
    for _ in range(20):
        points = optimizer.ask()
        optimizer.tell(points, [1.0] * len(points))


def test_it_names_itself():
    assert CmaEs(2, 6, 0).signature().startswith("CMA-ES, population 6, cma ")


def test_a_missing_library_is_told_with_its_extra(monkeypatch):
    monkeypatch.setattr("aya_plugins.merges.cma_es.find_spec", lambda name: None)
    with pytest.raises(
        PluginError, match=r'needs the module \'cma\'; install the extra: pip install "aya-core\[search\]"'
    ):
        aya_optimizer()
