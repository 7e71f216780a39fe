"""census and kth_magnitude against sorting, on both backends."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from aya_kernels import census, kth_magnitude
from aya_kernels.census.reference import reference_census
from aya_kernels.kth_magnitude.reference import reference_kth_magnitude

SHAPES = [(), (1,), (63,), (781,), (63, 33)]


def on_a_grid(shape: tuple[int, ...], device: str = "cpu", seed: int = 0) -> Tensor:
    """Make values with many ties, zeros of both signs among them."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(4).round().div(4).to(device)


@pytest.mark.parametrize("shape", [*SHAPES, (0, 5)], ids=str)
@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (0.0, math.inf), (0.75, 0.75), (9.0, 10.0), (0.0, 0.0)])
@pytest.mark.usefixtures("poisoned")
def test_census_is_the_references(shape: tuple[int, ...], low: float, high: float, backend: Any, device: str) -> None:
    tensor, base = on_a_grid(shape, device), on_a_grid(shape, device, seed=1)
    for origin in (None, base):
        above, inside = census(tensor, low, high, origin, backend=backend)
        expected_above, expected = reference_census(tensor, low, high, origin)
        assert above == expected_above
        assert torch.equal(inside, expected)


def test_census_over_many_blocks_is_the_references() -> None:
    tensor = on_a_grid((150_001,))
    above, inside = census(tensor, 0.5, 1.0)
    expected_above, expected = reference_census(tensor, 0.5, 1.0, None)
    assert above == expected_above
    assert torch.equal(inside, expected)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 50), min_size=1, max_size=4), st.data())
def test_pieces_in_a_bracket_give_the_kth_of_the_whole(seed: int, sizes: list[int], data: st.DataObject) -> None:
    tensor = on_a_grid((sum(sizes),), seed=seed)
    k = data.draw(st.integers(1, sum(sizes)))
    kth = kth_magnitude(tensor, k)
    low, high = kth - data.draw(st.floats(0, 2)), kth + data.draw(st.floats(0, 2))
    counted = [census(piece, low, high) for piece in tensor.split(sizes)]
    inside = torch.cat([magnitudes for _, magnitudes in counted])
    assert kth_magnitude(inside, k - sum(above for above, _ in counted)) == kth


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("poisoned")
def test_the_kth_magnitude_is_the_sorted_ones(shape: tuple[int, ...], backend: Any, device: str) -> None:
    for tensor in (on_a_grid(shape, device), torch.randn(shape, device=device), torch.zeros(shape, device=device)):
        for k in {1, tensor.numel() // 3 + 1, tensor.numel()}:
            assert kth_magnitude(tensor, k, backend=backend) == reference_kth_magnitude(tensor, k)


def test_the_kth_magnitude_reaches_from_the_smallest_to_the_largest_number(backend: Any, device: str) -> None:
    largest, smallest = torch.finfo(torch.float32).max, 2.0**-149
    tensor = torch.tensor([smallest, -largest, 0.0, 1.0, math.inf], device=device)
    found = [kth_magnitude(tensor, k, backend=backend) for k in range(1, 6)]
    assert found == [math.inf, largest, 1.0, smallest, 0.0]


def test_the_tensor_is_not_reordered(backend: Any, device: str) -> None:
    tensor = on_a_grid((63,), device).abs()
    before = tensor.clone()
    kth_magnitude(tensor, 20, backend=backend)
    census(tensor, 0.5, 1.0, backend=backend)
    assert torch.equal(tensor, before)


def test_wrong_input_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match="k is 3; expected 1 to 2"):
        kth_magnitude(torch.ones(2), 3)
    with pytest.raises(ValueError, match=r"tensor is torch\.int64"):
        kth_magnitude(torch.ones(2, dtype=torch.int64), 1)
    with pytest.raises(ValueError, match=r"the bracket is 2\.0 to 1\.0"):
        census(torch.ones(2), 2.0, 1.0)
    with pytest.raises(ValueError, match=r"base has shape \(3,\)"):
        census(torch.ones(2), 1.0, 2.0, torch.ones(3))
