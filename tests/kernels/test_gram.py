"""gram against float64, on both backends."""

from typing import Any

import pytest
import torch
from torch import Tensor

from aya_kernels import gram
from aya_kernels.gram.reference import reference_gram


def random_tensors(count: int, shape: tuple[int, ...], device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(shape, generator=generator).to(device) for _ in range(count)]


@pytest.mark.parametrize("shape", [(), (1,), (63,), (781,), (63, 33), (0, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.usefixtures("poisoned")
def test_every_inner_product_is_within_the_bound(
    count: int, shape: tuple[int, ...], with_base: bool, backend: Any, device: str
) -> None:
    *tensors, base = random_tensors(count + 1, shape, device)
    result = gram(tensors, base if with_base else None, backend=backend)
    exact = reference_gram(tensors, base if with_base else None)
    vectors = [(tensor - base if with_base else tensor).double().abs() for tensor in tensors]
    size = torch.stack([torch.stack([(x * y).sum() for y in vectors]) for x in vectors])
    unit = 2**-19 if backend == "triton" else tensors[0].numel() * 2**-52
    assert result.dtype is torch.float64
    assert (result - exact).abs().le(size * unit).all()
    assert torch.equal(result, result.T)


def test_pieces_add_up_to_the_whole(backend: Any, device: str) -> None:
    tensors = random_tensors(3, (2500,), device)
    whole = gram(tensors, backend=backend)
    parts = gram([t[:900] for t in tensors], backend=backend) + gram([t[900:] for t in tensors], backend=backend)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-3)


def test_orthogonal_tensors_have_no_inner_product_and_norms_on_the_diagonal(backend: Any, device: str) -> None:
    tensors = [torch.tensor([3.0, 0.0, 4.0], device=device), torch.tensor([0.0, 2.0, 0.0], device=device)]
    assert gram(tensors, backend=backend).tolist() == [[25.0, 0.0], [0.0, 4.0]]


def test_the_result_is_the_same_with_any_number_of_threads_and_at_any_address() -> None:
    tensors = random_tensors(3, (100_003,), "cpu")
    threads = torch.get_num_threads()
    expected = gram(tensors)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            shifted = [torch.cat([torch.zeros(count), tensor])[count:] for tensor in tensors]
            assert torch.equal(gram(shifted), expected), f"{count} threads"
    finally:
        torch.set_num_threads(threads)


def test_small_terms_are_not_lost_beside_large_ones() -> None:
    tensor = torch.full((1 << 20,), 2.0**-11)
    tensor[0] = 2.0**11
    assert gram([tensor]).item() == 2.0**22 + ((1 << 20) - 1) * 2.0**-22  # float32 sums would stop at 2^22


def test_wrong_input_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match="at least one"):
        gram([])
    with pytest.raises(ValueError, match=r"base is torch\.float64"):
        gram([torch.ones(2)], torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="backend 'triton' takes up to 16 tensors; got 17"):
        gram([torch.ones(2)] * 17, backend="triton")
