import pytest
import torch
from applying import apply, normal
from hypothesis import given, settings, strategies as st

from aya_core.api import AyaError
from aya_plugins.merges import Ties

seeds = st.integers(0, 2**32)
densities = st.floats(0.01, 1)
weights_of_three = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)


@settings(max_examples=25, deadline=None)
@given(seeds, densities, weights_of_three)
def test_ties_of_the_base_with_itself_is_the_base(seed, density, weights):
    (base,) = normal(seed, 1)
    assert torch.equal(apply(Ties(density=density), [base] * 3, weights, base), base)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three)
def test_untrimmed_ties_of_a_model_with_itself_is_that_model(seed, weights):
    base, model = normal(seed, 2)
    merged = apply(Ties(density=1), [model] * 3, weights, base)
    torch.testing.assert_close(merged, model, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(-2, 2))
def test_untrimmed_ties_of_one_model_is_task_arithmetic(seed, scale):
    base, model = normal(seed, 2)
    merged = apply(Ties(density=1, lambda_=scale), [model], [1.0], base)
    torch.testing.assert_close(merged, base + scale * (model - base), rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, densities, weights_of_three)
def test_weights_go_with_their_models(seed, density, weights):
    base, *models = normal(seed, 4)
    forwards = apply(Ties(density=density), models, weights, base)
    backwards = apply(Ties(density=density), models[::-1], weights[::-1], base)
    torch.testing.assert_close(forwards, backwards, rtol=1e-5, atol=1e-5)


def test_ties_by_hand():
    base = torch.tensor([10.0, 10.0, 10.0, 10.0])
    a = base + torch.tensor([4.0, -1.0, 3.0, 0.5])
    b = base + torch.tensor([2.0, 5.0, -4.0, 0.25])
    # Half of each is kept: a gives [4, 0, 3, 0], b gives [0, 5, -4, 0]. Sums elect [+, +, -, +].
    merged = apply(Ties(density=0.5), [a, b], [1.0, 1.0], base)
    assert merged.tolist() == [14.0, 15.0, 6.0, 10.0]


def test_weights_count_in_the_election_only_when_asked():
    base = torch.zeros(1)
    models = [torch.tensor([3.0]), torch.tensor([-2.0])]
    weights = [1.0, 2.0]
    assert apply(Ties(density=1), models, weights, base).tolist() == [-2.0]
    assert apply(Ties(density=1, weigh_election=False), models, weights, base).tolist() == [3.0]


def test_without_normalizing_those_who_agree_are_summed():
    models = [torch.tensor([3.0]), torch.tensor([2.0]), torch.tensor([-1.0])]
    assert apply(Ties(density=1, normalize=False), models, [1.0, 0.5, 1.0], torch.zeros(1)).tolist() == [4.0]


def test_a_drawn_election_elects_plus():
    models = [torch.tensor([-1.0]), torch.tensor([1.0])]
    assert apply(Ties(density=1), models, [1.0, 1.0], torch.zeros(1)).tolist() == [1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), densities)
def test_trim_keeps_the_asked_number_of_largest_and_the_first_of_equals(values, density):
    vector = torch.tensor(values, dtype=torch.float32).reshape(-1, 1)
    expected = vector.clone()
    kept = max(1, int(density * len(values)))
    order = sorted(range(len(values)), key=lambda place: (-abs(values[place]), place))
    expected[order[kept:]] = 0
    for rows in (None, 1, 3):
        assert torch.equal(apply(Ties(density=density), [vector], [1.0], torch.zeros_like(vector), rows=rows), expected)


def test_models_and_base_are_not_modified():
    everyone = normal(5, 4)
    before = [tensor.clone() for tensor in everyone]
    apply(Ties(), everyone[1:], [1.0, 2.0, 3.0], everyone[0])
    assert all(torch.equal(a, b) for a, b in zip(everyone, before, strict=True))


def test_ties_without_a_base_is_refused():
    with pytest.raises(AyaError, match="name it with `base:`"):
        apply(Ties(), normal(0, 2), [1.0, 1.0], None)
