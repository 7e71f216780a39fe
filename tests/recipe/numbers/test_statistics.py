import math
import random

import pytest
from hypothesis import given, strategies as st

from aya_core.contract.records import RowScore
from aya_recipe.numbers import statistics


def rows(values, language="en", metric="m"):
    return [RowScore(f"{language}/{i}", language, metric, float(v)) for i, v in enumerate(values)]


def test_the_mean_weighs_languages_alike():
    estimate = statistics.mean(statistics.sums(rows([1, 1, 1, 1], "en") + rows([0], "de")))
    assert estimate.value == 0.5
    assert estimate.n == 5


def test_the_error_of_one_language_is_the_textbook_one():
    estimate = statistics.mean(statistics.sums(rows([1, 0, 1, 1])))
    assert estimate.standard_error == pytest.approx(math.sqrt(0.25 / 4))  # sample variance 0.25, n = 4
    assert estimate.high - estimate.low == pytest.approx(2 * 1.959964 * 0.25)


def test_samples_of_one_prompt_are_one_observation():
    once = rows([1, 0, 1, 0])
    twice = once + once
    assert statistics.mean(statistics.sums(twice)) == statistics.mean(statistics.sums(once))


def test_a_weighted_metric_is_a_ratio_of_sums():
    pair = [RowScore("a", "en", "bits_per_byte", 2.0, 10.0), RowScore("b", "en", "bits_per_byte", 1.0, 30.0)]
    assert statistics.mean(statistics.sums(pair)).value == pytest.approx((20 + 30) / 40)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20))
def test_the_gain_over_itself_is_nothing_and_certain(values):
    added = statistics.sums(rows(values))
    gain = statistics.gain(added, added)
    assert (gain.value, gain.standard_error) == (0, 0)


def test_pairing_makes_the_error_of_a_shared_difficulty_smaller():
    draw = random.Random(0)
    difficulty = [draw.random() for _ in range(50)]
    before = statistics.sums(rows(difficulty))
    after = statistics.sums(rows([d + 0.1 + 0.01 * draw.random() for d in difficulty]))
    gain = statistics.gain(before, after)
    assert gain.low > 0.09
    assert gain.standard_error < statistics.mean(before).standard_error / 10


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draw = random.Random(1)
    covered = 0
    for _ in range(400):
        sample = [float(draw.random() < 0.3) for _ in range(80)]
        estimate = statistics.mean(statistics.sums(rows(sample)))
        covered += estimate.low <= 0.3 <= estimate.high
    assert 0.91 <= covered / 400 <= 0.98


def test_one_prompt_has_no_error_that_json_could_not_hold():
    row = statistics.mean(statistics.sums(rows([1]))).as_row()
    assert (row["value"], row["low"], row["high"]) == (1, None, None)


def test_no_prompt_in_common_means_no_gain():
    assert statistics.gain(statistics.sums(rows([1], "en")), statistics.sums(rows([1], "de"))) is None


def test_the_best_of_many_is_seldom_held_to_differ_where_none_does():
    """Of 31 differences that are zero but for noise, one leaves its own 95% interval in half of all cases."""
    draw = random.Random(3)
    naive = honest = 0
    for _ in range(400):
        best = max((statistics.Estimate(draw.gauss(0, 1), 1.0, 50) for _ in range(31)), key=lambda one: one.value)
        naive += best.low > 0
        honest += best.among(31)[0] > 0
    assert naive > 0.4 * 400
    assert honest < 0.05 * 400


def test_of_one_the_interval_is_the_usual_one():
    estimate = statistics.Estimate(0.3, 0.1, 9)
    assert estimate.among(1) == pytest.approx((estimate.low, estimate.high))
