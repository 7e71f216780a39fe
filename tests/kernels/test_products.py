"""Products into given memory are products, whichever library makes them."""

import pytest
import torch

from aya_kernels.token_logps import products, token_logps


@pytest.fixture(params=["mkl", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each library in turn, at all sizes; oneDNN's operator is there on any processor."""
    monkeypatch.setattr(products, "_LEAST_MULTIPLICATIONS", 0)
    monkeypatch.setattr(products, "is_onednn_faster", lambda: request.param == "onednn")
    return str(request.param)


SIZES = [(1, 1, 1), (63, 781, 33), (5, 1030, 64), (700, 3, 2)]


@pytest.mark.parametrize(("rows", "inner", "columns"), SIZES)
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.usefixtures("library")
def test_products_are_written_and_added(rows: int, inner: int, columns: int, is_turned: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    left = (
        torch.randn(inner, rows, generator=generator).T if is_turned else torch.randn(rows, inner, generator=generator)
    )
    right, bias = torch.randn(columns, inner, generator=generator).T, torch.randn(columns, generator=generator)
    exact = left.double() @ right.double()
    allowed = {"rtol": 1e-5, "atol": 2e-6 * inner**0.5}

    def check(found: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(found.double(), expected, **allowed)

    out = torch.full((rows, columns), torch.nan)  # whatever was there is not read
    products.write_product(out, left, right, factor=0.3)
    check(out, 0.3 * exact)
    products.write_product(out.fill_(torch.nan), left, right, bias=bias, factor=0.3)
    check(out, 0.3 * (exact + bias.double()))
    products.add_product(out.fill_(torch.nan), left, right, starts=True)
    check(out, exact)
    products.add_product(out, left, right, starts=False)
    check(out, 2 * exact)


@pytest.mark.parametrize("dim", [512, 513, 640, 1024])
@pytest.mark.parametrize("tokens", [64, 300])
def test_onednn_is_never_given_a_matrix_with_gaps(dim: int, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gaps, as slices of columns have them, it takes 500 times as long; few rows are not worth a copy."""
    multiply, calls = products._multiply, []

    def watched(left: torch.Tensor, transposed: torch.Tensor) -> torch.Tensor:
        calls.append(transposed.is_contiguous() or transposed.T.is_contiguous())
        return multiply(left, transposed)

    monkeypatch.setattr(products, "_multiply", watched)
    monkeypatch.setattr(products, "is_onednn_faster", lambda: True)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, dim, generator=generator).requires_grad_()
    head = (torch.randn(3000, dim, generator=generator) * 0.02).requires_grad_()
    targets = torch.randint(3000, (tokens,), generator=generator)
    found = token_logps(hidden, head, targets)
    torch.autograd.grad(found.sum(), (hidden, head))
    assert calls
    assert all(calls)
    exact = (hidden.double() @ head.double().T).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("library")
def test_long_sums_are_as_exact_as_those_of_the_other_library(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator) for shape in ((64, 4096), (4096, 64)))
    exact = left.double() @ right.double()
    out = torch.empty(64, 64)
    products.add_product(out, left, right, starts=True)
    error = (out.double() - exact).square().mean().sqrt()
    theirs = ((left @ right).double() - exact).square().mean().sqrt()
    assert error < 2 * theirs


@pytest.mark.usefixtures("library")
def test_float64_stays_float64() -> None:
    left, right = torch.randn(9, 5).double(), torch.randn(5, 7).double()
    out = torch.empty(9, 7).double()
    products.add_product(out, left, right, starts=True)
    torch.testing.assert_close(out, left @ right, rtol=1e-14, atol=1e-14)


def test_whether_onednn_is_faster_is_the_same_in_every_process_of_a_machine() -> None:
    assert products.is_onednn_faster() is products.is_onednn_faster.__wrapped__()
