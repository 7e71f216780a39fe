import pytest
import torch
from applying import apply, normal
from hypothesis import given, settings, strategies as st

from aya_core.api import AyaError
from aya_plugins.merges import Weighted

weights_of_three = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)
seeds = st.integers(0, 2**32)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three)
def test_weighted_merge_of_a_model_with_itself_is_that_model(seed, weights):
    model = normal(seed, 3)[0]
    merged = apply(Weighted(), [model] * 3, weights)
    torch.testing.assert_close(merged, model, rtol=1e-6, atol=0)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three)
def test_weights_go_with_their_models(seed, weights):
    models = normal(seed, 3)
    forwards = apply(Weighted(), models, weights)
    backwards = apply(Weighted(), models[::-1], weights[::-1])
    torch.testing.assert_close(forwards, backwards, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three, st.floats(0.1, 100))
def test_only_the_ratio_of_weights_matters_when_they_are_normalized(seed, weights, scale):
    models = normal(seed, 3)
    merged = apply(Weighted(), models, weights)
    scaled = apply(Weighted(), models, [scale * weight for weight in weights])
    torch.testing.assert_close(merged, scaled, rtol=1e-6, atol=1e-6)


def test_weights_are_taken_as_they_are_without_normalizing():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    merged = apply(Weighted(normalize=False), [a, b], [1.0, 0.5])
    assert merged.tolist() == [6.0, 12.0]


def test_weights_that_sum_to_zero_are_refused():
    with pytest.raises(AyaError, match="sum to 0"):
        apply(Weighted(), normal(0, 2), [1.0, -1.0])


def test_models_are_not_modified():
    models = normal(1, 3)
    before = [model.clone() for model in models]
    apply(Weighted(), models, [1.0, 2.0, 3.0])
    assert all(torch.equal(a, b) for a, b in zip(models, before, strict=True))
