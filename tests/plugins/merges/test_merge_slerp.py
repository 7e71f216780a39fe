import math

import pytest
import torch
from applying import apply, normal
from hypothesis import given, settings, strategies as st

from aya_core.api import AyaError
from aya_plugins.merges import Slerp

seeds = st.integers(0, 2**32)
places = st.floats(0, 1)


def slerp(models, t):
    return apply(Slerp(t=t), models, [1.0, 1.0])


@settings(max_examples=25, deadline=None)
@given(seeds, places)
def test_slerp_of_a_model_with_itself_is_that_model(seed, t):
    model = normal(seed, 2)[0]
    torch.testing.assert_close(slerp([model, model], t), model, rtol=1e-6, atol=0)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_ends_of_the_arc_are_the_models_to_the_bit(seed):
    models = normal(seed, 2)
    assert torch.equal(slerp(models, 0.0), models[0])
    assert torch.equal(slerp(models, 1.0), models[1])


@settings(max_examples=25, deadline=None)
@given(seeds, places)
def test_the_arc_is_the_same_from_both_ends(seed, t):
    models = normal(seed, 2)
    torch.testing.assert_close(slerp(models, t), slerp(models[::-1], 1 - t), rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, places)
def test_a_point_between_unit_vectors_is_a_unit_vector(seed, t):
    models = [model / model.norm() for model in normal(seed, 2)]
    assert slerp(models, t).norm().item() == pytest.approx(1.0, abs=1e-5)


def test_halfway_between_the_axes_by_hand():
    merged = slerp([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])], 0.5)
    assert merged.tolist() == pytest.approx([math.sqrt(0.5), 2 * math.sqrt(0.5)], rel=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_nearly_parallel_models_are_interpolated_on_a_line(sign):
    a = torch.tensor([1.0, 0.0])
    b = sign * torch.tensor([1.0, 0.01])
    torch.testing.assert_close(slerp([a, b], 0.25), 0.75 * a + 0.25 * b)


def test_zeros_stay_zeros():
    zeros = torch.zeros(5)
    assert torch.equal(slerp([zeros, zeros], 0.3), zeros)


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_models_but_two_is_refused(count):
    with pytest.raises(AyaError, match=f"got {count} models?, expected two"):
        apply(Slerp(), [torch.ones(2)] * count, [1.0] * count)


def test_weights_are_refused():
    with pytest.raises(AyaError, match="set t"):
        apply(Slerp(), normal(0, 2), [0.3, 0.7])


def test_the_angle_does_not_depend_on_threads():
    models = normal(3, 2, (3, 999_983))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(slerp(models, 0.3))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
