"""The Triton backward skips blocks of negligible probability, and errs by no more than it says."""

import math

import pytest
import torch
from torch import Tensor

from aya_kernels import token_logps
from aya_kernels.token_logps.reference import LogitMap, reference_token_logps

TOKENS, DIM, VOCAB = 70, 16, 1000
SCALE = 0.5


def peaked_head(device: str, dtype: torch.dtype, fall: float) -> tuple[Tensor, Tensor, Tensor]:
    """Make a head whose probabilities fall by exp(-fall) over the vocabulary, and targets among the first 50."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(size, DIM, generator=generator) * 0.1 for size in (TOKENS, VOCAB))
    hidden[:, 0] = 1
    weight[:, 0] = -torch.linspace(0, fall / SCALE, VOCAB)
    targets = torch.randint(50, (TOKENS,), generator=generator)
    return hidden.to(device, dtype).requires_grad_(), weight.to(device, dtype).requires_grad_(), targets.to(device)


@pytest.fixture
def triton_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def live_shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Gathers the share of live blocks of each launch of the gradient."""
    from aya_kernels.token_logps import kernel

    shares = []
    original = kernel._logit_gradient_into

    def watched(*args: object) -> Tensor:
        live = original(*args)
        shares.append(float(live.float().mean()))
        return live

    monkeypatch.setattr(kernel, "_logit_gradient_into", watched)
    return shares


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("fall", [20.0, 60.0, 400.0])
@pytest.mark.usefixtures("poisoned")  # what is not written is NaN, and would be seen if it were multiplied
def test_skipping_changes_gradients_by_no_more_than_the_stated_bound(
    fall: float, dtype: torch.dtype, triton_device: str, live_shares: list[float]
) -> None:
    hidden, weight, targets = peaked_head(triton_device, dtype, fall)
    upstream = torch.linspace(-1, 2, TOKENS, device=triton_device)
    logps = token_logps(hidden, weight, targets, logit_scale=SCALE, backend="triton", chunk_tokens=40)
    found = torch.autograd.grad(logps, (hidden, weight), upstream)
    exact_inputs = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight)]
    exact_logps, _ = reference_token_logps(*exact_inputs, None, targets, LogitMap(SCALE), False)
    exact = torch.autograd.grad(exact_logps, exact_inputs, upstream.double())

    eps, rounding = torch.finfo(dtype).eps, 4 * torch.finfo(torch.float32).eps
    factor = upstream.double().abs() * SCALE
    wide_hidden, wide_weight = (tensor.detach().abs().max(0).values for tensor in exact_inputs)
    of_hidden = factor[:, None] * wide_weight * (eps / 16 + rounding) + eps * exact[0].abs()
    of_weight = factor.sum() * wide_hidden * (eps / 16 / VOCAB + rounding) + eps * exact[1].abs()
    assert ((found[0].double() - exact[0]).abs() <= of_hidden).all()
    assert ((found[1].double() - exact[1]).abs() <= of_weight).all()
    if fall == 400:
        assert max(live_shares) < 0.25
        assert not found[1][-256:].any()  # the last blocks are dead for every token
    if fall == 20 and dtype is torch.float32:
        assert min(live_shares) == 1  # nothing is negligible


def test_what_is_skipped_of_a_distribution_is_at_most_a_sixteenth_of_a_rounding() -> None:
    from aya_kernels.token_logps.kernel import negligible_probability

    half, whole = torch.zeros(2, 3).bfloat16(), torch.zeros(781, 3)
    assert negligible_probability(half, half) * 2 == 2**-7 / 16
    assert math.isclose(negligible_probability(half, whole) * 781, 2**-23 / 16)


def test_nothing_is_skipped_where_a_bias_wants_its_gradient(triton_device: str, live_shares: list[float]) -> None:
    hidden, weight, targets = peaked_head(triton_device, torch.float32, 400.0)
    bias = torch.zeros(VOCAB, device=triton_device, requires_grad=True)
    token_logps(hidden, weight, targets, bias=bias, logit_scale=SCALE, backend="triton").sum().backward()
    assert live_shares == [1.0]


def test_a_target_of_no_probability_still_gets_its_gradient(triton_device: str) -> None:
    hidden, weight, targets = peaked_head(triton_device, torch.float32, 400.0)
    targets[:] = VOCAB - 1
    logps = token_logps(hidden, weight, targets, logit_scale=SCALE, backend="triton")
    (found,) = torch.autograd.grad(logps.sum(), weight)
    torch.testing.assert_close(found[-1], SCALE * hidden.detach().sum(0), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")  # the interpreter's
def test_hidden_states_that_are_no_numbers_give_gradients_that_are_none(triton_device: str) -> None:
    hidden, weight, targets = peaked_head(triton_device, torch.float32, 400.0)
    broken = hidden.detach().clone().fill_(math.nan).requires_grad_()
    logps = token_logps(broken, weight, targets, logit_scale=SCALE, backend="triton")
    (found,) = torch.autograd.grad(logps.sum(), broken)
    assert found.isnan().all()
