"""Fixtures for the kernel tests: where Triton runs, memory full of NaN, and what "accurate enough" means."""

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

# Triton reads this when it is first imported, so it is set before any test module can do that.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(params=["torch", "triton"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn; Triton on the GPU if there is one, else in its interpreter."""
    if request.param == "triton" and not torch.cuda.is_available():
        import triton.language
        from triton.runtime.interpreter import InterpretedFunction

        # A skip would hide that the kernels are untested.
        assert isinstance(triton.language.sum, InterpretedFunction), (
            "something imported triton before tests/kernels/conftest.py could set TRITON_INTERPRET=1; "
            "run the suite with TRITON_INTERPRET=1 in the environment, or import triton later"
        )
    return str(request.param)


@pytest.fixture
def device(backend: str) -> str:
    return "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Fill every uninitialized tensor with NaN, so that a value nobody wrote is seen."""
    torch.use_deterministic_algorithms(True, warn_only=False)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def assert_accurate() -> Callable[..., None]:
    """Hold a result to at most twice the error of its reference, both measured against float64.

    The error is the root mean square over the tensor; the largest error may be eight times the reference's,
    because the largest of some thousand random errors was seen to move by a factor of four with the draw.
    Where the reference happens to be exact, one rounding in the result's dtype counts as its error.
    """

    def root_mean_square(values: Tensor) -> float:
        return float(values.square().mean().sqrt())

    def largest(values: Tensor) -> float:
        return float(values.abs().max())

    def check(result: Tensor, reference: Tensor, exact: Tensor, what: str) -> None:
        assert exact.dtype is torch.float64
        assert result.dtype is reference.dtype, what
        assert result.shape == reference.shape == exact.shape, what
        if exact.numel() == 0:
            return
        result, reference, exact = result.detach(), reference.detach(), exact.detach()
        assert result.isfinite().all(), f"{what} has values that nobody wrote, or that overflowed"
        for norm, factor in ((root_mean_square, 2), (largest, 8)):
            one_rounding = norm(exact) * torch.finfo(result.dtype).eps / 2
            allowed = factor * max(norm(reference.double() - exact), one_rounding)
            error = norm(result.double() - exact)
            assert error <= allowed, f"{what}: {norm.__name__} error {error:.2e}, allowed {allowed:.2e}"

    return check
