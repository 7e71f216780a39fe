"""weighted_sum against its definition, on both backends."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from aya_kernels import weighted_sum
from aya_kernels.weighted_sum.reference import reference_weighted_sum

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def random_tensors(count: int, shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu") -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(shape, generator=generator).to(device, dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (63,), (781,), (63, 33), (0, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5, 33])
@pytest.mark.usefixtures("poisoned")
def test_error_is_at_most_twice_the_references(
    count: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    backend: str,
    device: str,
    assert_accurate: Callable[..., None],
) -> None:
    tensors = random_tensors(count, shape, dtype, device)
    weights = [0.3 - 0.1 * i for i in range(count)]
    exact = sum(tensor.double() * weight for tensor, weight in zip(tensors, weights, strict=True))
    result = weighted_sum(tensors, weights, backend=backend)
    assert_accurate(result, reference_weighted_sum(tensors, weights, dtype), exact, f"{count} x {shape}")


@pytest.mark.usefixtures("poisoned")
def test_tensors_of_several_dtypes_sum_to_the_dtype_asked_for(backend: str, device: str) -> None:
    tensors = [random_tensors(1, (9, 7), dtype, device)[0] for dtype in DTYPES]
    result = weighted_sum(tensors, [1.0, 2.0, 3.0], out_dtype=torch.float32, backend=backend)
    torch.testing.assert_close(result, tensors[0] + 2 * tensors[1].float() + 3 * tensors[2].float())
    assert weighted_sum(tensors[::-1], [1.0, 2.0, 3.0], backend=backend).dtype is torch.float16


def test_sums_of_small_bf16_terms_do_not_stall(backend: str, device: str) -> None:
    ones = [torch.ones(3, dtype=torch.bfloat16, device=device)] * 512
    assert weighted_sum(ones, [1.0] * 512, backend=backend).tolist() == [512.0] * 3  # bf16 alone stops at 256


def test_one_tensor_of_weight_one_is_itself_and_a_new_tensor(backend: str, device: str) -> None:
    (tensor,) = random_tensors(1, (63, 5), torch.bfloat16, device)
    result = weighted_sum([tensor], [1.0], backend=backend)
    assert torch.equal(result, tensor)
    assert result.data_ptr() != tensor.data_ptr()


def test_transposed_and_strided_inputs_give_the_sum_of_what_they_show(backend: str, device: str) -> None:
    a, b = random_tensors(2, (6, 10), torch.float32, device)
    result = weighted_sum([a.T, b.T], [1.0, 1.0], backend=backend)
    assert result.is_contiguous()
    assert torch.equal(result, (a + b).T)
    assert torch.equal(weighted_sum([a[::2, 1::3], b[::2, 1::3]], [1.0, 1.0], backend=backend), (a + b)[::2, 1::3])


def test_inputs_are_not_modified_and_the_result_carries_no_gradient(backend: str, device: str) -> None:
    (tensor,) = random_tensors(1, (63,), torch.float32, device)
    before = tensor.clone()
    result = weighted_sum([tensor.requires_grad_(), tensor], [0.5, 2.0], backend=backend)
    assert torch.equal(tensor, before)
    assert not result.requires_grad


@pytest.fixture
def restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.usefixtures("restored_threads")
def test_the_result_is_the_references_to_the_bit_for_any_number_of_threads(dtype: torch.dtype) -> None:
    tensors = random_tensors(3, (300_001,), dtype)
    weights = [0.1, 0.7, -0.3]
    expected = reference_weighted_sum(tensors, weights, dtype)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(weighted_sum(tensors, weights), expected), f"{threads} threads"


def test_float64_is_summed_in_float64() -> None:
    tensors = [torch.tensor([1.0], dtype=torch.float64), torch.tensor([1e-12], dtype=torch.float64)]
    assert weighted_sum(tensors, [1.0, 1.0]).item() == 1.0 + 1e-12


@pytest.mark.parametrize(
    ("tensors", "weights", "message"),
    [
        ([], [], "at least one"),
        ([torch.ones(2)], [1.0, 2.0], "got 1 tensors and 2 weights"),
        ([torch.ones(2), torch.ones(3)], [1.0, 1.0], r"tensor 1 has shape \(3,\)"),
        ([torch.ones(2, dtype=torch.int32)], [1.0], "tensor 0 is torch.int32"),
        ([torch.ones(2)], [float("nan")], "weight 0 is nan"),
    ],
)
def test_wrong_input_is_refused_and_named(tensors: list[Tensor], weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_sum(tensors, weights)


def test_an_integer_out_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"out_dtype is torch\.int64"):
        weighted_sum([torch.ones(1)], [1.0], out_dtype=torch.int64)
