import pytest
import torch
from applying import apply, normal
from hypothesis import given, settings, strategies as st

from aya_plugins.merges import DareTies, Ties

seeds = st.integers(0, 2**32)
keys = st.integers(0, 2**64 - 1)
densities = st.floats(0.01, 1)


@settings(max_examples=25, deadline=None)
@given(seeds, densities, keys, st.sampled_from(["unbiased", "l1"]))
def test_dare_ties_of_the_base_with_itself_is_the_base(seed, density, key, rescale):
    (base,) = normal(seed, 1)
    merged = apply(DareTies(density=density, rescale=rescale), [base] * 3, [1.0, 2.0, 3.0], base, key)
    assert torch.equal(merged, base)


@settings(max_examples=25, deadline=None)
@given(seeds, keys)
def test_without_dropping_it_is_untrimmed_ties(seed, key):
    base, *models = normal(seed, 4)
    weights = [0.5, 1.0, 2.0]
    dare, ties = (apply(merge(density=1), models, weights, base, key) for merge in (DareTies, Ties))
    assert torch.equal(dare, ties)


@settings(max_examples=25, deadline=None)
@given(seeds, keys)
def test_the_key_alone_decides_what_is_dropped(seed, key):
    base, *models = normal(seed, 3)
    merge = DareTies(density=0.5)
    torch.manual_seed(0)
    first = apply(merge, models, [1.0, 1.0], base, key)
    torch.manual_seed(1)
    assert torch.equal(first, apply(merge, models, [1.0, 1.0], base, key))
    assert not torch.equal(first, apply(merge, models, [1.0, 1.0], base, key ^ (1 << 40)))


def test_the_expectation_over_keys_is_the_dense_model():
    base, model = normal(7, 2)
    merge = DareTies(density=0.5)
    keys, copies = 40, 100
    # Each value draws for itself, so that copies one below the other draw as often as keys do.
    bases, models = (tensor.repeat(copies, 1) for tensor in (base, model))
    merged = [apply(merge, [models], [1.0], bases, key).view(copies, *base.shape) for key in range(keys)]
    mean, draws = torch.cat(merged).double().mean(dim=0), keys * copies
    # The delta is doubled or zero with equal chance, so its mean has standard error |delta| / sqrt(draws).
    error = (mean - model.double()).abs() / ((model - base).double().abs() / draws**0.5)
    assert error.max() < 5
    assert error.square().mean().item() == pytest.approx(1.0, abs=0.5)


def test_models_are_dropped_independently():
    merge = DareTies(density=0.5)
    base, ones = torch.zeros(100_000), torch.ones(100_000)
    merged = apply(merge, [ones, ones], [1.0, 1.0], base, 3)
    # Both are dropped at a quarter of the places; elsewhere the mean of those kept is 1 / density.
    assert (merged == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert set(merged.unique().tolist()) == {0.0, 2.0}


def test_l1_rescaling_keeps_the_norm():
    (vector,) = normal(2, 1, (1000,))
    merged = apply(DareTies(density=0.3, rescale="l1"), [vector], [1.0], torch.zeros(1000), 1)
    assert merged.abs().sum().item() == pytest.approx(vector.abs().sum().item(), rel=1e-5)
    assert 0.2 < (merged != 0).double().mean().item() < 0.4


def test_the_share_of_what_is_kept_is_the_density():
    merged = apply(DareTies(density=0.1), [torch.ones(200_000)], [1.0], torch.zeros(200_000), 5)
    assert (merged != 0).double().mean().item() == pytest.approx(0.1, abs=0.004)
    assert merged.max().item() == pytest.approx(10.0)


def test_without_rescaling_what_is_kept_stays_as_it_is():
    merged = apply(DareTies(density=0.5, rescale="none"), [torch.ones(1000)], [1.0], torch.zeros(1000), 5)
    assert set(merged.tolist()) == {0.0, 1.0}
