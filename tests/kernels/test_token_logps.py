"""token_logps against its definition, values and gradients, on both backends."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from aya_kernels import token_logps
from aya_kernels.token_logps.chunked import chunked_token_logps, plan_tiles, spans
from aya_kernels.token_logps.reference import LogitMap, reference_token_logps

PLAIN, COHERE, GEMMA = LogitMap(), LogitMap(scale=0.25), LogitMap(scale=1.5, softcap=4.0, temperature=0.7)


def random_head(
    tokens: int, dim: int, vocab: int, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make hidden, weight, bias (all wanting gradients) and targets."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(tokens, dim), (vocab, dim), (vocab,)]
    floats = [torch.randn(shape, generator=generator).to(device, dtype).requires_grad_() for shape in shapes]
    targets = torch.randint(vocab, (tokens,), generator=generator).to(device)
    return floats[0], floats[1], floats[2], targets


def gradients(logps: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Differentiate a loss that weighs every token differently."""
    upstream = torch.linspace(-1, 2, logps.numel(), dtype=logps.dtype, device=logps.device)
    return list(torch.autograd.grad(logps, inputs, upstream))


SIZES = [(1, 1, 1), (63, 33, 781), (65, 17, 1300), (3, 781, 63)]


@pytest.mark.parametrize(
    ("logit_map", "dtype"),
    [(PLAIN, torch.float32), (COHERE, torch.bfloat16), (GEMMA, torch.float32), (GEMMA, torch.bfloat16)],
    ids=["plain-float32", "cohere-bfloat16", "gemma-float32", "gemma-bfloat16"],
)
@pytest.mark.parametrize(("tokens", "dim", "vocab"), SIZES)
@pytest.mark.parametrize("chunk_tokens", [16, None], ids=["small-chunks", "one-chunk"])
@pytest.mark.usefixtures("poisoned")
def test_errors_of_values_and_gradients_are_at_most_twice_the_references(
    tokens: int,
    dim: int,
    vocab: int,
    logit_map: LogitMap,
    dtype: torch.dtype,
    chunk_tokens: int | None,
    backend: str,
    device: str,
    assert_accurate: Callable[..., None],
) -> None:
    *floats, targets = random_head(tokens, dim, vocab, dtype, device)

    def reference(*inputs: Tensor) -> list[Tensor]:
        logps, entropy = reference_token_logps(*inputs, targets, logit_map, True)
        return [logps, entropy, *gradients(logps, *inputs)]

    hidden, weight, bias = floats
    logps, entropy = token_logps(
        hidden,
        weight,
        targets,
        bias=bias,
        logit_scale=logit_map.scale,
        softcap=logit_map.softcap,
        temperature=logit_map.temperature,
        chunk_tokens=chunk_tokens,
        backend=backend,
        with_entropy=True,
    )
    results = [logps, entropy, *gradients(logps, *floats)]
    exacts = reference(*(tensor.detach().double().requires_grad_() for tensor in floats))
    names = ["log-probabilities", "entropy", "hidden.grad", "weight.grad", "bias.grad"]
    for what, result, expected, exact in zip(names, results, reference(*floats), exacts, strict=True):
        assert_accurate(result, expected, exact, what)


def test_it_equals_log_softmax_and_gather(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(20, 8, 63, device=device)
    expected = torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(token_logps(hidden, weight, targets, backend=backend), expected)


def test_equal_logits_have_log_probability_minus_log_vocab_and_entropy_log_vocab(backend: str, device: str) -> None:
    hidden, weight = torch.zeros(2, 4, device=device), torch.ones(781, 4, device=device)
    targets = torch.tensor([0, 780], device=device)
    logps, entropy = token_logps(hidden, weight, targets, backend=backend, with_entropy=True)
    torch.testing.assert_close(logps.cpu(), torch.full((2,), -math.log(781)))
    torch.testing.assert_close(entropy.cpu(), torch.full((2,), math.log(781)))


def test_probabilities_of_the_whole_vocabulary_sum_to_one(backend: str, device: str) -> None:
    hidden, weight, bias, _ = random_head(1, 8, 63, device=device)
    logps = token_logps(hidden.expand(63, 8), weight, torch.arange(63, device=device), bias=bias, backend=backend)
    torch.testing.assert_close(logps.exp().sum().item(), 1.0)


def test_adding_a_constant_to_every_bias_changes_nothing(backend: str, device: str) -> None:
    hidden, weight, bias, targets = random_head(9, 8, 63, device=device)
    logps = token_logps(hidden, weight, targets, bias=bias, logit_scale=0.25, backend=backend)
    shifted = token_logps(hidden, weight, targets, bias=bias + 5, logit_scale=0.25, backend=backend)
    torch.testing.assert_close(logps, shifted)
    (bias_gradient,) = gradients(logps, bias)
    torch.testing.assert_close(bias_gradient.sum().item(), 0.0, atol=1e-6, rtol=0)


def test_renaming_the_vocabulary_changes_nothing(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(9, 8, 63, device=device)
    order = torch.randperm(63, generator=torch.Generator().manual_seed(0)).to(device)
    renamed = token_logps(hidden, weight[order], order.argsort()[targets], backend=backend)
    torch.testing.assert_close(renamed, token_logps(hidden, weight, targets, backend=backend))


def test_a_temperature_is_a_scale_of_its_inverse(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(9, 8, 63, device=device)
    hot = token_logps(hidden, weight, targets, temperature=4.0, backend=backend)
    torch.testing.assert_close(hot, token_logps(hidden, weight, targets, logit_scale=0.25, backend=backend))


def test_scale_comes_before_softcap_and_temperature_after(backend: str, device: str) -> None:
    hidden, weight = torch.tensor([[1.0]], device=device), torch.tensor([[3.0], [-1.0]], device=device)
    logp = token_logps(
        hidden,
        weight,
        torch.tensor([0], device=device),
        logit_scale=2.0,
        softcap=5.0,
        temperature=4.0,
        backend=backend,
    )
    high, low = (5 * math.tanh(raw * 2 / 5) / 4 for raw in (3, -1))
    torch.testing.assert_close(logp.item(), -math.log1p(math.exp(low - high)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_ignored_positions_are_zero_and_leave_the_others_as_they_were(
    dtype: torch.dtype, backend: str, device: str
) -> None:
    hidden, weight, bias, targets = random_head(20, 8, 63, dtype, device)
    is_kept = torch.arange(20, device=device) % 3 == 0
    some = torch.where(is_kept, targets, -100)
    logps, entropy = token_logps(hidden, weight, some, bias=bias, backend=backend, with_entropy=True)
    assert logps.dtype is entropy.dtype is torch.float32
    assert not logps[~is_kept].any()
    assert not entropy[~is_kept].any()
    alone = token_logps(hidden[is_kept], weight, targets[is_kept], bias=bias, backend=backend)
    assert torch.equal(logps[is_kept], alone)
    hidden_gradient, weight_gradient = gradients(logps, hidden, weight)
    assert not hidden_gradient[~is_kept].any()
    (expected,) = torch.autograd.grad(alone, weight, torch.linspace(-1, 2, 20, device=device)[is_kept])
    torch.testing.assert_close(weight_gradient, expected)


@pytest.mark.parametrize("tokens", [0, 5])
@pytest.mark.usefixtures("poisoned")
def test_rows_that_are_all_ignored_give_zeros_and_zero_gradients(tokens: int, backend: str, device: str) -> None:
    hidden, weight, bias, targets = random_head(tokens, 8, 63, device=device)
    logps = token_logps(hidden, weight, targets.fill_(7), bias=bias, ignore_index=7, backend=backend)
    assert logps.tolist() == [0.0] * tokens
    for gradient in gradients(logps, hidden, weight, bias):
        assert not gradient.any()


def test_another_index_can_mean_ignored_and_minus_100_then_is_an_error() -> None:
    hidden, weight, _, targets = random_head(4, 8, 63)
    targets[:] = torch.tensor([3, 0, 5, 0])
    assert token_logps(hidden, weight, targets, ignore_index=0)[1::2].tolist() == [0.0, 0.0]
    targets[0] = -100
    with pytest.raises(ValueError, match="target -100 is outside the vocabulary of 63"):
        token_logps(hidden, weight, targets, ignore_index=0)


def test_a_tied_weight_collects_the_gradients_of_both_its_uses(backend: str, device: str) -> None:
    _, weight, _, targets = random_head(20, 8, 63, device=device)

    def hidden_from(embedding: Tensor) -> Tensor:
        return torch.tanh(embedding[targets.roll(1)])

    logps = token_logps(hidden_from(weight), weight, targets, logit_scale=0.25, backend=backend)
    expected, _ = reference_token_logps(hidden_from(weight), weight, None, targets, COHERE, False)
    torch.testing.assert_close(gradients(logps, weight), gradients(expected, weight))


def test_a_frozen_head_or_frozen_hidden_states_get_no_gradient(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(9, 8, 63, device=device)
    expected = gradients(token_logps(hidden, weight, targets, backend=backend), hidden, weight)
    only_hidden = gradients(token_logps(hidden, weight.detach(), targets, backend=backend), hidden)
    only_weight = gradients(token_logps(hidden.detach(), weight, targets, backend=backend), weight)
    torch.testing.assert_close([*only_hidden, *only_weight], expected)
    assert not token_logps(hidden.detach(), weight.detach(), targets, backend=backend).requires_grad


def test_views_with_any_strides_give_what_they_show(backend: str, device: str) -> None:
    hidden, weight, bias, targets = random_head(20, 8, 63, device=device)
    args = (hidden[::2, 1::2], weight.T.contiguous().T[:, 1::2], targets[::2])
    strided = token_logps(*args, bias=bias.expand(2, 63).T[:, 0], backend=backend)
    compact = token_logps(*(arg.contiguous() for arg in args), bias=bias, backend=backend)
    torch.testing.assert_close(strided, compact)
    torch.testing.assert_close(gradients(strided, hidden, weight), gradients(compact, hidden, weight))


@pytest.mark.parametrize("chunk_tokens", [3, None], ids=["small-chunks", "one-chunk"])
def test_a_bias_of_minus_infinity_forbids_tokens(chunk_tokens: int | None, backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(5, 8, 2500, device=device)
    bias = torch.zeros(2500, device=device)
    bias[:2400] = float("-inf")  # whole tiles of it
    targets = targets % 100 + 2400
    kwargs = {"bias": bias, "chunk_tokens": chunk_tokens, "backend": backend}
    logps, entropy = token_logps(hidden, weight, targets, with_entropy=True, **kwargs)
    allowed = weight[2400:]
    expected, expected_entropy = reference_token_logps(hidden, allowed, None, targets - 2400, PLAIN, True)
    torch.testing.assert_close(logps, expected)
    torch.testing.assert_close(entropy, expected_entropy)
    torch.testing.assert_close(gradients(logps, hidden, weight), gradients(expected, hidden, weight))


def test_huge_logits_do_not_overflow(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(5, 8, 63, device=device)
    scaled = token_logps(hidden, weight, targets, logit_scale=1e4, backend=backend)
    expected, _ = reference_token_logps(hidden, weight, None, targets, LogitMap(scale=1e4), False)
    torch.testing.assert_close(scaled, expected)


def test_autocast_does_not_lower_the_precision(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(20, 8, 63, device=device)
    expected = token_logps(hidden, weight, targets, backend=backend)
    with torch.autocast(device, dtype=torch.bfloat16):
        logps = token_logps(hidden, weight, targets, backend=backend)
        assert torch.equal(logps, expected)
        results = gradients(logps, hidden, weight)
    torch.testing.assert_close(results, gradients(expected, hidden, weight))


def test_half_precision_hidden_states_meet_a_float32_head(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(20, 8, 63, device=device)
    half = hidden.detach().bfloat16().requires_grad_()
    logps = token_logps(half, weight, targets, backend=backend)
    expected = token_logps(half.float(), weight, targets, backend=backend)
    torch.testing.assert_close(logps, expected)
    half_gradient, weight_gradient = gradients(logps, half, weight)
    assert half_gradient.dtype is torch.bfloat16
    torch.testing.assert_close(weight_gradient, *gradients(expected, weight))


def test_a_second_backward_through_one_graph_gives_the_same_gradients(backend: str, device: str) -> None:
    hidden, weight, _, targets = random_head(20, 8, 63, device=device)
    total = token_logps(hidden, weight, targets, backend=backend).sum()
    first = torch.autograd.grad(total, (hidden, weight), retain_graph=True)
    torch.testing.assert_close(first, torch.autograd.grad(total, (hidden, weight)))


@pytest.mark.parametrize("chunk_tokens", [3, None], ids=["small-chunks", "one-chunk"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_weights_gradient_can_be_added_where_one_is(
    dtype: torch.dtype, chunk_tokens: int | None, backend: str, device: str
) -> None:
    hidden, weight, _, targets = random_head(20, 8, 1300, dtype, device)
    kwargs = {"backend": backend, "chunk_tokens": chunk_tokens}
    expected = gradients(token_logps(hidden, weight, targets, **kwargs), hidden, weight)
    total = torch.full_like(weight, 0.5, requires_grad=False)
    logps = token_logps(hidden, weight, targets, weight_grad=total, **kwargs)
    upstream = torch.linspace(-1, 2, 20, device=device)
    found = torch.autograd.grad(logps, (hidden, weight), upstream, allow_unused=True)
    torch.testing.assert_close(found[0], expected[0])
    assert found[1] is None
    error = 2 * torch.finfo(dtype).eps * (expected[1].abs().max() + 0.5)
    assert (total - expected[1] - 0.5).abs().max() <= error


def test_a_buffer_that_is_no_gradient_of_the_weight_is_refused() -> None:
    hidden, weight, _, targets = random_head(4, 8, 63)
    for wrong in (torch.zeros(63, 9), torch.zeros(63, 8).double(), torch.zeros(63, 8, requires_grad=True)):
        with pytest.raises(ValueError, match=r"expected a weight_grad of shape \(63, 8\) and torch.float32"):
            token_logps(hidden, weight, targets, weight_grad=wrong)


@pytest.mark.parametrize("softcap", [None, 300.0])
def test_logits_that_rise_through_the_vocabulary_are_scaled_back_to_the_last_top(
    softcap: float | None, backend: str, device: str
) -> None:
    """Tile by tile the largest logit grows, by more than a float32 exponential holds."""
    hidden = torch.ones(3, 1, device=device, requires_grad=True)
    weight = torch.linspace(-200, 200, 8000, device=device)[:, None].requires_grad_()
    targets = torch.tensor([0, 4000, 7999], device=device)
    logps = token_logps(hidden, weight, targets, softcap=softcap, backend=backend)
    expected, _ = reference_token_logps(hidden, weight, None, targets, LogitMap(softcap=softcap), False)
    close = {"rtol": 1e-4, "atol": 1e-4}  # of logits of 200
    torch.testing.assert_close(logps, expected, **close)
    torch.testing.assert_close(gradients(logps, hidden, weight), gradients(expected, hidden, weight), **close)


def test_one_chunk_costs_three_products_and_more_tokens_four(monkeypatch: pytest.MonkeyPatch) -> None:
    from aya_kernels.token_logps import chunked

    counted = []
    for name in ("write_product", "add_product"):
        original = getattr(chunked, name)

        def count(out: Tensor, left: Tensor, right: Tensor, *, original=original, **kwargs: object) -> None:
            counted.append(left.shape[0] * left.shape[1] * right.shape[1])
            original(out, left, right, **kwargs)

        monkeypatch.setattr(chunked, name, count)
    hidden, weight, _, targets = random_head(40, 8, 3000)
    for chunk_tokens, products in ((40, 3), (39, 4)):
        counted.clear()
        gradients(token_logps(hidden, weight, targets, chunk_tokens=chunk_tokens), hidden, weight)
        assert sum(counted) == products * 40 * 8 * 3000


@pytest.mark.parametrize("logit_map", [COHERE, GEMMA], ids=["cohere", "gemma"])
@pytest.mark.parametrize("chunk_tokens", [2, 100])
def test_chunked_gradients_pass_gradcheck_in_float64(logit_map: LogitMap, chunk_tokens: int) -> None:
    *floats, targets = random_head(5, 3, 7, torch.float64)

    def logps(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return chunked_token_logps(hidden, weight, bias, targets, logit_map, chunk_tokens, False)[0]

    assert torch.autograd.gradcheck(logps, floats)


@pytest.mark.parametrize("dim", [1, 64, 8192])
@pytest.mark.parametrize("tokens", [0, 1, 63, 100_000])
@pytest.mark.parametrize("vocab", [1, 781, 256_000])
@pytest.mark.parametrize("chunk_tokens", [1, 256])
def test_tiles_cover_everything_and_stay_within_the_chunk(tokens: int, dim: int, vocab: int, chunk_tokens: int) -> None:
    tile_tokens, tile_vocab = plan_tiles(tokens, vocab, dim, chunk_tokens * vocab)
    assert 1 <= tile_tokens * tile_vocab <= chunk_tokens * vocab
    columns = list(spans(vocab, tile_vocab))
    assert (columns[0].start, columns[-1].stop) == (0, vocab)
    assert all(left.stop == right.start for left, right in pairwise(columns))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": torch.ones(1, 4, 8)}, "flatten batch and time"),
        ({"weight": torch.ones(63, 9)}, "of one dim"),
        ({"weight": torch.ones(63, 8, dtype=torch.int64)}, "weight is torch.int64"),
        ({"targets": torch.zeros(3, dtype=torch.int64)}, r"int64 targets of shape \(4,\)"),
        ({"targets": torch.zeros(4)}, "got torch.float32"),
        ({"targets": torch.full((4,), 63)}, "target 63 is outside the vocabulary of 63"),
        ({"targets": torch.full((4,), -1)}, "target -1 is outside"),
        ({"bias": torch.ones(8)}, r"bias of shape \(63,\)"),
        ({"hidden": torch.ones(4, 8, device="meta")}, "weight is on 'cpu' but hidden is on 'meta'"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"softcap": -1.0}, "softcap is -1.0"),
        ({"logit_scale": float("nan")}, "logit_scale is nan"),
        ({"chunk_tokens": 0}, "chunk_tokens is 0"),
    ],
)
def test_wrong_input_is_refused_and_named(changes: dict[str, object], message: str) -> None:
    right = {
        "hidden": torch.ones(4, 8),
        "weight": torch.ones(63, 8),
        "targets": torch.zeros(4, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=message):
        token_logps(**{**right, **changes})
