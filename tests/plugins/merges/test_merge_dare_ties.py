import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aya_plugins.merges import DareTies, Ties
from aya_plugins.merges.dare_ties import drop_and_rescale

seeds = st.integers(0, 2**32)
keys = st.integers(0, 2**64 - 1)
densities = st.floats(0.01, 1)


def tensors(seed, count, shape=(7, 13)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(seeds, densities, keys, st.sampled_from(["unbiased", "l1"]))
def test_dare_ties_of_the_base_with_itself_is_the_base(seed, density, key, rescale):
    (base,) = tensors(seed, 1)
    merge = DareTies(density=density, rescale=rescale).build()
    assert torch.equal(merge([base] * 3, [1.0, 2.0, 3.0], base, key), base)


@settings(max_examples=25, deadline=None)
@given(seeds, keys)
def test_without_dropping_it_is_untrimmed_ties(seed, key):
    base, *models = tensors(seed, 4)
    weights = [0.5, 1.0, 2.0]
    dare, ties = (merge(density=1).build()(models, weights, base, key) for merge in (DareTies, Ties))
    assert torch.equal(dare, ties)


@settings(max_examples=25, deadline=None)
@given(seeds, keys)
def test_the_key_alone_decides_what_is_dropped(seed, key):
    base, *models = tensors(seed, 3)
    merge = DareTies(density=0.5).build()
    torch.manual_seed(0)
    first = merge(models, [1.0, 1.0], base, key)
    torch.manual_seed(1)
    assert torch.equal(first, merge(models, [1.0, 1.0], base, key))
    assert not torch.equal(first, merge(models, [1.0, 1.0], base, key ^ (1 << 40)))


def test_the_expectation_over_keys_is_the_dense_model():
    base, model = tensors(7, 2)
    merge = DareTies(density=0.5).build()
    draws = 4000
    mean = sum(merge([model], [1.0], base, key).double() for key in range(draws)) / draws
    # The delta is doubled or zero with equal chance, so its mean has standard error |delta| / sqrt(draws).
    error = (mean - model.double()).abs() / ((model - base).double().abs() / draws**0.5)
    assert error.max() < 5
    assert error.square().mean().item() == pytest.approx(1.0, abs=0.5)


def test_models_are_dropped_independently():
    merge = DareTies(density=0.5).build()
    base, ones = torch.zeros(100_000), torch.ones(100_000)
    merged = merge([ones, ones], [1.0, 1.0], base, 3)
    # Both are dropped at a quarter of the places; elsewhere the mean of those kept is 1 / density.
    assert (merged == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert set(merged.unique().tolist()) == {0.0, 2.0}


def test_l1_rescaling_keeps_the_norm():
    (vector,) = tensors(2, 1, (1000,))
    norm = vector.abs().sum().item()
    drop_and_rescale(vector, 0.3, "l1", (1, 0))
    assert vector.abs().sum().item() == pytest.approx(norm, rel=1e-5)
    assert 0.2 < (vector != 0).double().mean().item() < 0.4


def test_the_share_of_what_is_kept_is_the_density():
    vector = torch.ones(200_000)
    drop_and_rescale(vector, 0.1, "unbiased", (5, 1))
    assert (vector != 0).double().mean().item() == pytest.approx(0.1, abs=0.004)
    assert vector.max().item() == pytest.approx(10.0)
