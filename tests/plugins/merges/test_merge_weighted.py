import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aya_core.api import AyaError
from aya_plugins.merges import Weighted

weights_of_three = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)
seeds = st.integers(0, 2**32)


def three(seed, shape=(7, 13)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(3)]


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three)
def test_weighted_merge_of_a_model_with_itself_is_that_model(seed, weights):
    model = three(seed)[0]
    merged = Weighted().build()([model] * 3, weights, None, 0)
    torch.testing.assert_close(merged, model, rtol=1e-6, atol=0)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three)
def test_weights_go_with_their_models(seed, weights):
    models = three(seed)
    forwards = Weighted().build()(models, weights, None, 0)
    backwards = Weighted().build()(models[::-1], weights[::-1], None, 0)
    torch.testing.assert_close(forwards, backwards, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three, st.floats(0.1, 100))
def test_only_the_ratio_of_weights_matters_when_they_are_normalised(seed, weights, scale):
    models = three(seed)
    merged = Weighted().build()(models, weights, None, 0)
    scaled = Weighted().build()(models, [scale * weight for weight in weights], None, 0)
    torch.testing.assert_close(merged, scaled, rtol=1e-6, atol=1e-6)


def test_weights_are_taken_as_they_are_without_normalising():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    merged = Weighted(normalize=False).build()([a, b], [1.0, 0.5], None, 0)
    assert merged.tolist() == [6.0, 12.0]


def test_weights_that_sum_to_zero_are_refused():
    with pytest.raises(AyaError, match="sum to 0"):
        Weighted().build()(three(0)[:2], [1.0, -1.0], None, 0)


def test_models_are_not_modified():
    models = three(1)
    before = [model.clone() for model in models]
    Weighted().build()(models, [1.0, 2.0, 3.0], None, 0)
    assert all(torch.equal(a, b) for a, b in zip(models, before, strict=True))
