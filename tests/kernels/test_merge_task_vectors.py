"""merge_task_vectors against its definition, on both backends, and the laws it owes to the papers."""

import math
import random
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from aya_kernels import Keep, draws, merge_task_vectors
from aya_kernels.merge_task_vectors.keep import KEEP_ALL
from aya_kernels.merge_task_vectors.reference import reference_merge_task_vectors

ELECTIONS = [None, "weighted", "plain"]
SEEDS = st.integers(0, 2**32)


def random_models(count: int, shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Make a base of zeros and models on a coarse grid, so that magnitudes tie and votes cancel, or any."""
    generator = torch.Generator().manual_seed(seed)
    models = [torch.randn(shape, generator=generator) for _ in range(count)]
    if seed % 2:
        return torch.zeros(shape), [model.mul(8).round().div(8) for model in models]
    base = torch.randn(shape, generator=generator)
    return base, [base + model for model in models]


def random_rule(choose: random.Random, shape: tuple[int, ...]) -> Keep:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(choose.randrange(9))).round()
    return Keep(
        low=choose.choice([0.0, 0.5, 1.0]),
        high=choose.choice([math.inf, 1.0, 1.5]),
        low_ties=choose.choice([None, None, 0, 3, 10**9]),
        high_ties=choose.choice([None, None, 0, 3, 10**9]),
        density=choose.choice([1.0, 0.3, 0.0]),
        key=(choose.randrange(2**64), choose.randrange(2**64)),
        start=choose.randrange(2**40),
        scale=choose.choice([1.0, 1 / 0.3]),
        mask=choose.choice([None, mask]),
    )


def assert_is_the_references(
    count: int, shape: tuple[int, ...], seed: int, elect: Any, backend: Any, device: str = "cpu"
) -> None:
    choose = random.Random(seed)
    base, models = random_models(count, shape, seed)
    weights = [choose.choice([1.0, 0.3, -0.5, 0.0]) for _ in models]
    rules = [random_rule(choose, shape) for _ in models]
    base, models = base.to(device), [model.to(device) for model in models]
    rules = [rule if rule.mask is None else rule._replace(mask=rule.mask.to(device)) for rule in rules]
    for keep in (None, rules):
        for normalize in (False, True):
            result = merge_task_vectors(
                base, models, weights, keep=keep, elect=elect, normalize=normalize, lambda_=0.7, backend=backend
            )
            expected = reference_merge_task_vectors(
                base, models, weights, keep or [KEEP_ALL] * count, elect, normalize, 0.7
            )
            assert torch.equal(result, expected), f"{count} x {shape}, seed {seed}, normalize {normalize}, {rules}"
            assert result.isfinite().all()


@pytest.mark.parametrize("elect", ELECTIONS)
@pytest.mark.parametrize("shape", [(), (1,), (63,), (781,), (63, 33), (0, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.usefixtures("poisoned")
def test_the_result_is_the_references_to_the_bit(
    count: int, shape: tuple[int, ...], elect: str | None, backend: str, device: str
) -> None:
    for seed in range(2):
        assert_is_the_references(count, shape, seed, elect, backend, device)


@given(SEEDS, st.integers(1, 4), st.integers(1, 100), st.sampled_from(ELECTIONS))
def test_the_result_is_the_references_whatever_the_rules(seed: int, count: int, size: int, elect: str | None) -> None:
    assert_is_the_references(count, (size,), seed, elect, "torch")


@pytest.mark.parametrize("elect", ELECTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_the_result_is_the_references_over_many_blocks(seed: int, elect: str | None) -> None:
    assert_is_the_references(3, (70_001,), seed, elect, "torch")


@pytest.mark.parametrize("elect", ELECTIONS)
@pytest.mark.usefixtures("poisoned")
def test_seventeen_models_are_more_than_one_kernel_takes_and_still_merge(elect: Any) -> None:
    base, models = random_models(17, (40,))
    result = merge_task_vectors(base, models, [0.1] * 17, elect=elect)
    assert torch.equal(
        result, reference_merge_task_vectors(base, models, [0.1] * 17, [KEEP_ALL] * 17, elect, False, 1.0)
    )
    with pytest.raises(ValueError, match="takes up to 16 tensors; got 17"):
        merge_task_vectors(base, models, [0.1] * 17, elect=elect, backend="triton")


@given(SEEDS, st.lists(st.integers(1, 60), min_size=1, max_size=5), st.sampled_from(ELECTIONS))
def test_a_tensor_in_pieces_merges_to_the_same_bits(seed: int, sizes: list[int], elect: Any) -> None:
    base, models = random_models(3, (sum(sizes),), seed)
    rules = [Keep(low=0.2, density=0.6, key=(seed, i), start=5, scale=1 / 0.6) for i in range(3)]

    def merged(start: int, stop: int) -> Tensor:
        moved = [rule._replace(start=rule.start + start) for rule in rules]
        cut = [model[start:stop] for model in models]
        return merge_task_vectors(
            base[start:stop], cut, [1.0, 0.5, 0.7], keep=moved, elect=elect, normalize=True, lambda_=0.9
        )

    ends = torch.tensor(sizes).cumsum(0).tolist()
    pieces = [merged(stop - size, stop) for size, stop in zip(sizes, ends, strict=True)]
    assert torch.equal(torch.cat(pieces), merged(0, sum(sizes)))


@given(SEEDS, st.permutations(range(4)), st.sampled_from(ELECTIONS), st.booleans())
def test_permuting_models_with_their_weights_moves_no_more_than_rounding(
    seed: int, order: list[int], elect: Any, normalize: bool
) -> None:
    base, models = random_models(4, (50,), 2 * seed)  # even: no votes that cancel exactly in one order only
    weights, rules = [0.5, 1.0, 0.25, 2.0], [Keep(low=0.1 * i, scale=1.0 + i) for i in range(4)]
    result = merge_task_vectors(base, models, weights, keep=rules, elect=elect, normalize=normalize)
    permuted = merge_task_vectors(
        base,
        [models[i] for i in order],
        [weights[i] for i in order],
        keep=[rules[i] for i in order],
        elect=elect,
        normalize=normalize,
    )
    votes = sum(
        (model - base) * rule.scale * ((model - base).abs() >= rule.low) * (1 if elect == "plain" else weight)
        for model, weight, rule in zip(models, weights, rules, strict=True)
    )
    assert isinstance(votes, Tensor)
    clear = votes.abs() > 1e-4  # elsewhere rounding may elect the other sign
    torch.testing.assert_close(result[clear], permuted[clear], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("elect", ELECTIONS)
def test_one_model_of_density_one_is_task_arithmetic(elect: Any, backend: Any, device: str) -> None:
    base, (model,) = random_models(1, (781,))
    base, model = base.to(device), model.to(device)
    result = merge_task_vectors(base, [model], [0.6], elect=elect, lambda_=0.5, backend=backend)
    torch.testing.assert_close(result, base + 0.3 * (model - base))


@pytest.mark.parametrize("elect", ELECTIONS)
def test_copies_of_a_model_merge_to_it_when_normalized(elect: Any, backend: Any, device: str) -> None:
    base, (model,) = random_models(1, (781,))
    base, model = base.to(device), model.to(device)
    result = merge_task_vectors(base, [model] * 4, [0.25] * 4, elect=elect, normalize=True, backend=backend)
    torch.testing.assert_close(result, model)


def test_copies_of_the_base_merge_to_the_base(backend: Any, device: str) -> None:
    base = random_models(1, (63,))[0].to(device)
    for elect in ELECTIONS:
        merged = merge_task_vectors(base, [base, base], [1.0, -1.0], elect=elect, normalize=True, backend=backend)
        assert torch.equal(merged, base)


def test_the_worked_example_elects_and_averages(backend: Any, device: str) -> None:
    base = torch.tensor([10.0, 10.0, 10.0, 10.0], device=device)
    taus = [[3.0, -1.0, 2.0, 0.0], [-2.0, -3.0, -2.0, 0.0], [1.0, 2.0, 0.0, 0.0]]
    models = [base + torch.tensor(tau, device=device) for tau in taus]
    result = merge_task_vectors(base, models, [1.0] * 3, elect="weighted", normalize=True, backend=backend)
    # a sum of 2 keeps 3 and 1; of -2 keeps -1 and -3; of 0 elects plus and keeps 2; none votes
    assert result.tolist() == [12.0, 8.0, 12.0, 10.0]


def test_weights_count_in_a_weighted_election_only(backend: Any, device: str) -> None:
    base = torch.zeros(1, device=device)
    models = [torch.tensor([3.0], device=device), torch.tensor([-1.0], device=device)]
    weights = [1.0, 5.0]
    weighted = merge_task_vectors(base, models, weights, elect="weighted", normalize=True, backend=backend)
    plain = merge_task_vectors(base, models, weights, elect="plain", normalize=True, backend=backend)
    assert (weighted.item(), plain.item()) == (-1.0, 3.0)


def test_tied_magnitudes_stay_first_come_at_the_low_end_and_go_first_come_at_the_high(
    backend: Any, device: str
) -> None:
    base = torch.zeros(6, device=device)
    model = torch.tensor([1.0, -1.0, 2.0, 1.0, -2.0, 0.5], device=device)

    def merged(rule: Keep) -> list[float]:
        kept: list[float] = merge_task_vectors(base, [model], [1.0], keep=[rule], backend=backend).tolist()
        return kept

    assert merged(Keep(low=1.0, low_ties=2)) == [1.0, -1.0, 2.0, 0.0, -2.0, 0.0]
    assert merged(Keep(low=1.0, low_ties=0)) == [0.0, 0.0, 2.0, 0.0, -2.0, 0.0]
    assert merged(Keep(high=2.0, high_ties=1)) == [1.0, -1.0, 0.0, 1.0, -2.0, 0.5]
    assert merged(Keep(low=1.0, high=1.0, low_ties=2, high_ties=1)) == [0.0, -1.0, 0.0, 0.0, 0.0, 0.0]


def test_density_keeps_the_values_whose_words_are_below_it(backend: Any, device: str) -> None:
    base, model = torch.zeros(2000, device=device), torch.ones(2000, device=device)
    rule = Keep(density=0.25, key=(3, 4), start=9, scale=4.0)
    merged = merge_task_vectors(base, [model], [1.0], keep=[rule], backend=backend)
    words = draws((3, 4), 9, 2000, device=device, backend=backend)
    assert torch.equal(merged, (words < 2**30) * 4.0)
    assert 400 < int((merged > 0).sum()) < 600


def test_inputs_are_not_modified_and_views_are_read_as_they_show(backend: Any, device: str) -> None:
    base, models = random_models(2, (6, 10))
    base, models = base.to(device), [model.to(device) for model in models]
    before = [tensor.clone() for tensor in (base, *models)]
    result = merge_task_vectors(base.T, [model.T for model in models], [0.5, 0.5], elect="plain", backend=backend)
    assert result.is_contiguous()
    assert torch.equal(result, merge_task_vectors(base, models, [0.5, 0.5], elect="plain", backend=backend).T)
    assert all(map(torch.equal, before, (base, *models)))


ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensors": [], "weights": []}, "at least one model"),
        ({"weights": [1.0, 2.0]}, "got 1 tensors, 2 weights"),
        ({"tensors": [torch.ones(3)]}, r"tensor 0 has shape \(3,\)"),
        ({"base": ONE.bfloat16()}, "base is torch.bfloat16"),
        ({"weights": [math.nan]}, "weight 0 is nan"),
        ({"lambda_": math.inf}, "lambda_ is inf"),
        ({"keep": [Keep(density=1.5)]}, r"keep\[0\].density is 1.5"),
        ({"keep": [Keep(mask=torch.ones(3))]}, r"the mask of keep\[0\] has shape \(3,\)"),
        ({"keep": [Keep(start=-1)]}, r"keep\[0\]: start is -1"),
        ({"elect": "majority"}, "elect is 'majority'"),
    ],
)
def test_wrong_input_is_refused_and_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge_task_vectors(**({"base": ONE, "tensors": [ONE], "weights": [1.0]} | arguments))
