"""What holds for merges whatever the tensors are."""

import pytest
import torch
from applying import apply, normal, place
from hypothesis import given, settings, strategies as st

from aya_core.api import AyaError
from aya_core.testing.merge import InMemory
from aya_plugins.merges import (
    Breadcrumbs,
    DareLinear,
    DareTies,
    Della,
    Karcher,
    ModelStock,
    MultiSlerp,
    NearSwap,
    Passthrough,
    Sce,
    Slerp,
    TaskArithmetic,
    Ties,
    Weighted,
)

seeds = st.integers(0, 2**32)
weights_of_three = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)


def named(merges):
    return pytest.mark.parametrize("merge", merges, ids=lambda merge: f"{type(merge).__name__}({merge})")


FROM_BASE = [
    Ties(density=0.4),
    Ties(density=0.4, trim="global", rescale="l1"),
    DareTies(),
    DareTies(rescale="l1"),
    DareLinear(),
    Della(),
    Della(rescale="l1"),
    Breadcrumbs(),
    TaskArithmetic(),
    MultiSlerp(from_base=True),
    Sce(select_topk=0.5),
]
# Those that trim or drop do not give the model of which all inputs are copies, but a part of its changes; those that do not
# normalize, a multiple of them.
OF_COPIES = [
    Weighted(),
    Ties(density=1),
    DareTies(density=1),
    DareLinear(density=1, normalize=True),
    Della(density=1),
    Breadcrumbs(density=1, normalize=True),
    TaskArithmetic(normalize=True),
    MultiSlerp(),
    MultiSlerp(from_base=True),
    Karcher(),
]
WITHOUT_WEIGHTS = [ModelStock(), ModelStock(filter_wise=True), Sce()]
DETERMINISTIC = [
    *OF_COPIES,
    Ties(density=0.4),
    Ties(density=0.4, rescale="l1"),
    Breadcrumbs(density=0.5, elect="plain"),
]
CUT = [*FROM_BASE, *OF_COPIES, *WITHOUT_WEIGHTS, Ties(density=0.3), Breadcrumbs(density=0.5, gamma=0.2)]


@named(FROM_BASE)
@settings(max_examples=10, deadline=None)
@given(seeds)
def test_merging_the_base_with_itself_gives_it(merge, seed):
    (base,) = normal(seed, 1)
    torch.testing.assert_close(apply(merge, [base] * 3, None, base), base, rtol=0, atol=0)


@named(OF_COPIES)
@settings(max_examples=10, deadline=None)
@given(seeds, weights_of_three)
def test_merging_a_model_with_itself_gives_it(merge, seed, weights):
    base, model = normal(seed, 2)
    torch.testing.assert_close(apply(merge, [model] * 3, weights, base), model, rtol=2e-5, atol=2e-5)


@named(WITHOUT_WEIGHTS)
@settings(max_examples=10, deadline=None)
@given(seeds)
def test_merging_a_model_with_itself_gives_it_where_there_are_no_weights(merge, seed):
    base, model = normal(seed, 2)
    torch.testing.assert_close(apply(merge, [model] * 3, None, base), model, rtol=2e-5, atol=2e-5)


@named([Weighted(), MultiSlerp(), Karcher(), Passthrough(), Ties(density=1), Della(density=1), Sce()])
@settings(max_examples=10, deadline=None)
@given(seeds)
def test_one_model_is_that_model(merge, seed):
    base, model = normal(seed, 2)
    torch.testing.assert_close(apply(merge, [model], None, base), model, rtol=1e-6, atol=1e-6)


@named(DETERMINISTIC)
@settings(max_examples=10, deadline=None)
@given(seeds, weights_of_three, st.permutations(range(3)))
def test_weights_go_with_their_models(merge, seed, weights, order):
    base, *models = normal(seed, 4)
    merged = apply(merge, models, weights, base)
    moved = apply(merge, [models[i] for i in order], [weights[i] for i in order], base)
    torch.testing.assert_close(merged, moved, rtol=2e-5, atol=2e-5)


@named(WITHOUT_WEIGHTS)
@settings(max_examples=10, deadline=None)
@given(seeds, st.permutations(range(3)))
def test_models_may_come_in_any_order(merge, seed, order):
    base, *models = normal(seed, 4)
    moved = apply(merge, [models[i] for i in order], None, base)
    torch.testing.assert_close(apply(merge, models, None, base), moved, rtol=2e-5, atol=2e-5)


@named([Weighted(), Ties(density=0.3), MultiSlerp(), Karcher(), TaskArithmetic(normalize=True)])
@settings(max_examples=10, deadline=None)
@given(seeds, weights_of_three, st.floats(0.1, 10))
def test_weights_that_do_not_sum_to_one_are_taken_by_their_ratio(merge, seed, weights, scale):
    base, *models = normal(seed, 4)
    scaled = apply(merge, models, [scale * weight for weight in weights], base)
    torch.testing.assert_close(apply(merge, models, weights, base), scaled, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(61, 17), (12, 5, 7)], ids=str)
@named(CUT)
def test_the_bits_are_the_same_however_a_tensor_is_cut(merge, shape):
    base, *models = normal(9, 4, shape)
    whole = apply(merge, models, None, base)
    for rows in (1, 5, 16):
        assert torch.equal(apply(merge, models, None, base, rows=rows), whole)


@named([Slerp(t=0.3), NearSwap(t=0.5)])
def test_the_bits_of_merges_of_two_are_the_same_however_a_tensor_is_cut(merge):
    a, b = normal(10, 2, (61, 17))
    models, base = ([a, b], None) if isinstance(merge, Slerp) else ([a], b)
    whole = apply(merge, models, None, base)
    assert torch.equal(apply(merge, models, None, base, rows=5), whole)


@settings(max_examples=25, deadline=None)
@given(seeds, weights_of_three, st.floats(-2, 2))
def test_task_arithmetic_is_the_sum_of_the_changes(seed, weights, scale):
    base, *models = normal(seed, 4)
    merged = apply(TaskArithmetic(lambda_=scale), models, weights, base)
    changes = sum(weight * (model.double() - base) for weight, model in zip(weights, models, strict=True))
    torch.testing.assert_close(merged.double(), base + scale * changes, rtol=1e-5, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(-2, 2))
def test_ties_that_trims_nothing_of_one_model_is_task_arithmetic(seed, scale):
    base, model = normal(seed, 2)
    ties, sums = (
        apply(merge, [model], [1.0], base) for merge in (Ties(density=1, lambda_=scale), TaskArithmetic(lambda_=scale))
    )
    torch.testing.assert_close(ties, sums, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(0, 2**64 - 1), st.floats(0.1, 0.9))
def test_della_that_does_not_look_at_ranks_is_dare(seed, key, density):
    base, *models = normal(seed, 3)
    della = apply(Della(density=density, epsilon=0), models, None, base, key)
    torch.testing.assert_close(della, apply(DareTies(density=density), models, None, base, key), rtol=1e-6, atol=1e-6)


@named([DareLinear(density=0.4), Della(density=0.4, epsilon=0.3, elect="none", normalize=False)])
def test_in_expectation_random_merges_are_task_arithmetic(merge):
    base, *models = normal(7, 3, (5, 8))
    weights, keys, copies = [0.7, -1.2], 40, 100
    # Each value draws for itself, so that copies one below the other draw as often as keys do.
    tall = [tensor.repeat(copies, 1) for tensor in (base, *models)]
    drawn = torch.cat(
        [apply(merge, tall[1:], weights, tall[0], key).view(copies, 5, 8) for key in range(keys)]
    ).double()
    draws = len(drawn)
    dense = apply(TaskArithmetic(), models, weights, base).double()
    # Of 40 means, the largest is 5 standard errors away once in 40,000 times; keys are fixed.
    errors = (drawn.mean(dim=0) - dense).abs() / (drawn.std(dim=0) / draws**0.5)
    assert errors.max() < 5
    assert errors.square().mean().item() == pytest.approx(1.0, abs=0.6)


def test_della_keeps_large_changes_more_often():
    keys, copies = 40, 100
    model = torch.tensor([[0.1, -0.4, 0.2, 0.3]]).repeat(copies, 1)
    base = torch.zeros_like(model)
    merge = Della(density=0.5, epsilon=0.3)
    kept = torch.cat([apply(merge, [model], None, base, key) != 0 for key in range(keys)]).double().mean(dim=0)
    # Probabilities from 0.2 to 0.8 by rank; five standard errors of a mean of 4,000 are at most 0.04.
    assert kept.tolist() == pytest.approx([0.2, 0.8, 0.4, 0.6], abs=0.04)


def test_della_ranks_each_row_by_itself_and_the_first_of_equals_lower():
    from aya_plugins.merges.della import by_rank, probabilities

    rows = torch.tensor([[1.0, -1.0, 0.5], [100.0, 300.0, -0.0]])
    assert by_rank(rows).tolist() == [[2, 0, 1], [2, 0, 1]]
    (many,) = normal(3, 1, (9, 1001))
    assert torch.equal(by_rank(many), many.abs().argsort(dim=-1, stable=True))
    assert probabilities(3, 0.5, 0.2).tolist() == pytest.approx([0.3, 0.5, 0.7])
    assert probabilities(1, 0.5, 0.2).tolist() == [0.5]


def test_breadcrumbs_by_hand():
    base = torch.zeros(10)
    model = torch.tensor([1.0, -10.0, 2.0, 9.0, 3.0, -8.0, 4.0, 7.0, 5.0, -6.0])
    merged = apply(Breadcrumbs(density=0.4, gamma=0.2), [model], None, base)
    assert merged.tolist() == [0, 0, 0, 0, 0, -8, 0, 7, 5, -6]


def test_breadcrumbs_counts_the_first_of_equals_as_larger_however_it_is_cut():
    model = torch.tensor([[2.0], [1.0], [-2.0], [2.0], [1.0], [1.0]])
    for rows in (None, 1, 2, 4):
        merged = apply(Breadcrumbs(density=0.5, gamma=0.34), [model], None, torch.zeros(6, 1), rows=rows)
        assert merged[:, 0].tolist() == [0, 1, 0, 2, 1, 0]


def test_sce_by_hand():
    base = torch.zeros(4)
    models = [torch.tensor([2.0, 1.0, 1.0, 0.0]), torch.tensor([-1.0, 1.0, 2.0, 0.0])]
    # Variances 2.25, 0, 0.25 and 0: with half of those that are not 0, the first is kept. Energies are 4 and 1, and the
    # sum elects plus.
    assert apply(Sce(select_topk=0.5), models, None, base).tolist() == [2.0, 0.0, 0.0, 0.0]
    # With all kept, energies are 6 and 6.
    assert apply(Sce(), models, None, base).tolist() == [2.0, 1.0, 1.5, 0.0]


def test_nearswap_moves_each_value_by_at_most_t():
    base, model = torch.tensor([0.0, 0.0, 1.0, -1.0]), torch.tensor([0.05, 2.0, -1.0, -1.0])
    merged = apply(NearSwap(t=0.1), [model], None, base)
    torch.testing.assert_close(merged, torch.tensor([0.05, 0.1, 0.9, -1.0]))


def test_model_stock_of_orthogonal_changes_is_the_base():
    base = torch.ones(4)
    models = [base + torch.tensor(change) for change in ([1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0.5, 0])]
    torch.testing.assert_close(apply(ModelStock(), models, None, base), base)


def test_model_stock_by_hand():
    base, models = torch.zeros(2), [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])]
    cosine = 0.5**0.5
    share = 2 * cosine / (1 + cosine)
    torch.testing.assert_close(apply(ModelStock(), models, None, base), share * torch.tensor([1.0, 0.5]))


def test_the_karcher_mean_of_axes_is_their_diagonal_and_weights_move_it():
    axes = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
    torch.testing.assert_close(apply(Karcher(), axes), torch.tensor([0.5**0.5, 0.5**0.5]))
    merged = apply(Karcher(max_iter=50, tol=1e-9), axes, [2.0, 1.0])
    angle = torch.tensor(torch.pi / 2 / 3)
    torch.testing.assert_close(merged, torch.stack([angle.cos(), angle.sin()]))


@named([Karcher(), MultiSlerp()])
def test_models_of_opposite_directions_are_averaged(merge):
    models = [torch.tensor([3.0]), torch.tensor([-1.0])]
    torch.testing.assert_close(apply(merge, models), torch.tensor([1.0]))


@named([Weighted(), MultiSlerp(), Karcher(), Slerp()])
def test_zeros_stay_zeros(merge):
    zeros = torch.zeros(3, 4)
    assert torch.equal(apply(merge, [zeros, zeros]), zeros)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0.05, 1), st.integers(1, 9))
def test_global_trimming_has_one_threshold_for_the_whole_vector(seed, density, rows):
    shapes = [(4, 6), (5,), (3, 2, 4)]
    bases, models = (
        [normal(seed + salt, 1, shape)[0] for salt, shape in enumerate(shapes, start)] for start in (0, 10)
    )
    seen = [
        (place(1, name=str(index)), InMemory((model,), base, rows))
        for index, (model, base) in enumerate(zip(models, bases, strict=True))
    ]
    merge = Ties(density=density, trim="global").build().survey_all(seen)
    merged = [torch.cat(pieces.map(merge.survey(pieces, [1.0], where))) for where, pieces in seen]
    # As in the authors' topk_values_mask, which keeps one value more.
    changes = torch.cat([(model - base).flatten() for model, base in zip(models, bases, strict=True)])
    number = max(1, int(density * len(changes)))
    threshold = changes.abs().kthvalue(len(changes) - number + 1).values
    expected = torch.where(changes.abs() >= threshold, changes, 0)
    found = torch.cat([(one.reshape(base.shape) - base).flatten() for one, base in zip(merged, bases, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_global_trimming_is_per_model():
    base = torch.zeros(10)
    large, small = 100 * torch.arange(1.0, 11), torch.arange(-10.0, 0)
    merged = apply(Ties(density={"model-0": 0.1, "model-1": 0.2}, trim="global"), [large, small], None, base)
    assert merged.tolist() == [-10, -9, 0, 0, 0, 0, 0, 0, 0, 1000]


def test_one_density_holds_for_all_tensors_of_a_global_trim():
    merge = Ties(density=[{"filter": "mlp", "value": 0.5}, 0.2], trim="global").build()
    pieces = InMemory((torch.ones(3),), torch.zeros(3), None)
    with pytest.raises(AyaError, match="density cannot differ between"):
        merge.survey_all([(place(1, name="mlp"), pieces), (place(1, name="norm"), pieces)])
