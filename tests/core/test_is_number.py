"""What counts as a number in what strangers write."""

import math

import pytest

from aya_core.api import is_number


@pytest.mark.parametrize("value", [0, -1, 2.5, 10**300, 1e308])
def test_finite_numbers_are(value):
    assert is_number(value)
    assert math.isfinite(float(value))


@pytest.mark.parametrize("value", [True, False, None, "1", [1], math.nan, math.inf, -math.inf, 10**309, -(10**400)])
def test_nothing_else_is(value):
    assert not is_number(value)
