"""Log-probabilities of chosen tokens, straight from hidden states and the output head."""

import math
from typing import Literal, overload

import torch
from torch import Tensor

from aya_kernels.shared.dispatch import Backend, choose_backend
from aya_kernels.token_logps.chunked import chunked_token_logps
from aya_kernels.token_logps.reference import LogitMap

__all__ = ["default_chunk_tokens", "token_logps"]

# 256 MiB of float32: 262 tokens of a vocabulary of 256,000, or 131,072 tokens of one of 512.
_LOGITS_PER_DEFAULT_CHUNK = 1 << 26


@overload
def token_logps(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = ...,
    logit_scale: float = ...,
    softcap: float | None = ...,
    temperature: float = ...,
    ignore_index: int = ...,
    chunk_tokens: int | None = ...,
    backend: Backend = ...,
    weight_grad: Tensor | None = ...,
    with_entropy: Literal[False] = ...,
) -> Tensor: ...


@overload
def token_logps(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = ...,
    logit_scale: float = ...,
    softcap: float | None = ...,
    temperature: float = ...,
    ignore_index: int = ...,
    chunk_tokens: int | None = ...,
    backend: Backend = ...,
    weight_grad: Tensor | None = ...,
    with_entropy: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def token_logps(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    ignore_index: int = -100,
    chunk_tokens: int | None = None,
    backend: Backend = "auto",
    weight_grad: Tensor | None = None,
    with_entropy: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Give the log-probability of each target token without holding (tokens x vocabulary) logits.

    With raw = hidden @ weight.T + bias, the logits are raw * logit_scale, then softcap * tanh(. / softcap),
    then / temperature; the result is log_softmax(logits)[target]. All arithmetic accumulates in float32
    whatever the inputs are, also under autocast; each gradient is rounded once to its input's dtype.

    hidden: (tokens, dim), the last hidden states, after the final norm and already shifted: row i predicts
        targets[i].
    weight: (vocab, dim), the output head; tied embeddings are fine. Same device as hidden, any float dtype.
    targets: (tokens,) int64, each in [0, vocab) or equal to ignore_index.
    bias: (vocab,) or None, added before the scale.
    logit_scale: Cohere's logit_scale; 1 for most other families.
    softcap: Gemma's final logit softcapping, > 0; None for none.
    temperature: > 0.
    ignore_index: positions with this target cost no matrix product and give exactly 0.
    chunk_tokens: memory bound, >= 1. At most chunk_tokens * vocab logits exist at a time, as one float32
        buffer or two (with softcap, or with the entropy). On the torch backend without softcap, a backward over
        at most that many kept tokens reuses the forward's buffer instead of computing it again: three matrix
        products and not four. None takes `default_chunk_tokens`.
    backend: "auto" is Triton on CUDA tensors and torch elsewhere. The Triton kernels have been run in the
        interpreter only, not on a GPU.
    weight_grad: (vocab, dim) of weight's dtype, where the backward adds the gradient of weight, in place of
        returning one: such as weight.grad when gradients accumulate. Saves a buffer of the weight's size and
        two walks over it. None returns the gradient.
    with_entropy: also return the entropy of each position's distribution, in nats, without gradient.

    Returns float32 (tokens,) log-probabilities in nats; with_entropy adds a second such tensor. Where hidden
    or weight is float64, everything is float64. Differentiable once, for hidden, weight and bias.

    Saves: a full head needs about 3 buffers of (tokens, vocab) float32 in forward and backward; this needs
    one or two of (chunk_tokens, vocab), and a bf16 weight and its gradient need no float32 copy.

    Raises ValueError for shapes, dtypes, devices, targets or settings outside the above, and for a backend
    that cannot run here.

    Source: Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models", arXiv 2411.09009,
    sections 4.1 to 4.3; online softmax: Milakov & Gimelshein 2018, arXiv 1805.02867, algorithm 3.
    """
    _check_tensors(hidden, weight, targets, bias)
    _check_settings(logit_scale, softcap, temperature, chunk_tokens)
    _check_weight_grad(weight_grad, weight)
    tensors = [hidden, weight] if bias is None else [hidden, weight, bias]
    chosen_backend = choose_backend(backend, tensors, op="token_logps")
    tokens, vocab = hidden.shape[0], weight.shape[0]
    if chunk_tokens is None:
        chunk_tokens = default_chunk_tokens(vocab)

    kept = (targets != ignore_index).nonzero().squeeze(1)
    if len(kept) < tokens:
        hidden, targets = hidden.index_select(0, kept), targets.index_select(0, kept)
    _check_targets(targets, vocab)

    logit_map = LogitMap(logit_scale, softcap, temperature)
    if chosen_backend == "triton" and len(kept) > 0:  # an empty launch grid is an error on a GPU
        from aya_kernels.token_logps.kernel import triton_token_logps as compute
    else:
        compute = chunked_token_logps
    logps, entropy = compute(hidden, weight, bias, targets, logit_map, chunk_tokens, with_entropy, weight_grad)

    if len(kept) < tokens:
        logps = logps.new_zeros(tokens).index_copy(0, kept, logps)
        entropy = None if entropy is None else entropy.new_zeros(tokens).index_copy(0, kept, entropy)
    return logps if entropy is None else (logps, entropy)


def default_chunk_tokens(vocab: int) -> int:
    """Say how many tokens one chunk holds: as many as 256 MiB of float32 logits, and one at least."""
    return max(1, _LOGITS_PER_DEFAULT_CHUNK // vocab)


def _check_tensors(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> None:
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1] or weight.shape[0] == 0:
        raise ValueError(
            "token_logps: expected hidden (tokens, dim) and weight (vocab, dim) of one dim and a vocab of "
            f"1 or more, got {tuple(hidden.shape)} and {tuple(weight.shape)}; flatten batch and time first: "
            "hidden.flatten(0, 1)"
        )
    if targets.shape != hidden.shape[:1] or targets.dtype is not torch.int64:
        raise ValueError(
            f"token_logps: expected int64 targets of shape ({hidden.shape[0]},), one per row of hidden, "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"token_logps: expected a bias of shape ({weight.shape[0]},), one value per row of weight, "
            f"got {tuple(bias.shape)}"
        )
    named = {"hidden": hidden, "weight": weight, "bias": bias, "targets": targets}
    for name, tensor in named.items():
        if tensor is None:
            continue
        if tensor.device != hidden.device:
            raise ValueError(
                f"token_logps: {name} is on '{tensor.device}' but hidden is on '{hidden.device}'; move one of them"
            )
        if name != "targets" and not tensor.is_floating_point():
            raise ValueError(f"token_logps: {name} is {tensor.dtype}; expected a float dtype, such as torch.bfloat16")


def _check_settings(logit_scale: float, softcap: float | None, temperature: float, chunk_tokens: int | None) -> None:
    if not math.isfinite(logit_scale):
        raise ValueError(f"token_logps: logit_scale is {logit_scale}; expected a finite number, 1.0 for no scaling")
    if softcap is not None and not (math.isfinite(softcap) and softcap > 0):
        raise ValueError(f"token_logps: softcap is {softcap}; expected a number above 0, or None for no cap")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"token_logps: temperature is {temperature}; expected a number above 0, 1.0 for none")
    if chunk_tokens is not None and chunk_tokens < 1:
        raise ValueError(f"token_logps: chunk_tokens is {chunk_tokens}; expected 1 or more, or None for the default")


def _check_weight_grad(weight_grad: Tensor | None, weight: Tensor) -> None:
    if weight_grad is None:
        return
    expected = (tuple(weight.shape), weight.dtype, weight.device)
    if (tuple(weight_grad.shape), weight_grad.dtype, weight_grad.device) != expected or weight_grad.requires_grad:
        raise ValueError(
            f"token_logps: expected a weight_grad of shape {expected[0]} and {weight.dtype} on '{weight.device}' that "
            f"wants no gradient, got {tuple(weight_grad.shape)} and {weight_grad.dtype} on '{weight_grad.device}'"
        )


def _check_targets(targets: Tensor, vocab: int) -> None:
    if len(targets) == 0:
        return
    low, high = (int(value) for value in torch.stack(torch.aminmax(targets)).tolist())
    if low < 0 or high >= vocab:
        raise ValueError(
            f"token_logps: target {low if low < 0 else high} is outside the vocabulary of {vocab}; mark "
            "positions that have no target with ignore_index"
        )
