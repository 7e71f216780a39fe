"""token_logps in Triton, after cut cross-entropy: the forward keeps logits in registers and never writes
them.

Forward: each program folds a stretch of the vocabulary, block by block, into an online softmax of its tokens;
the stretches are combined outside. Backward: for one slab of the vocabulary at a time, a kernel computes the
logits again, turns them into their gradient in registers and writes that, at most chunk_tokens * vocab values
in float32; two matrix products take it to the gradients of hidden and weight. No atomics: results do not
depend on the order of programs.

Blocks of that gradient which hold no target and no probability above `negligible` = eps / 16 / vocab, eps that
of the finer dtype of hidden and weight, are neither written nor multiplied. What is skipped of a token's
distribution then sums to eps / 16 at the most, whatever the vocabulary. So with f = |d loss / d logp| * scale /
temperature of each token, for any element k, skipping changes
    grad_hidden[t, k] by at most f[t] * eps / 16 * max over v of |weight[v, k]|,
    grad_weight[v, k] by at most eps / 16 / vocab * sum over t of f[t] * |hidden[t, k]|,
and the gradient of a bias not at all: where one is wanted, nothing is skipped. (The paper skips below 2^-12,
an element's rounding in bf16, which bounds no sum.)

Half-precision inputs multiply the float32 logit gradients as TF32, in which bf16 and fp16 are exact.
Gradients rounded to bf16 first, as the paper has them, would be faster, at the price of a second rounding in
every gradient.

Run in Triton's interpreter only, not on a GPU; the tests also compile it for one. Block sizes are reasoned,
not tuned.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads annotations as its own, so what it compiles has none but constexpr.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from aya_kernels.token_logps.chunked import plan_tiles, spans
from aya_kernels.token_logps.reference import LogitMap

_BLOCK_TOKENS, _BLOCK_VOCAB, _BLOCK_DIM, _BLOCK_K = 64, 128, 64, 32
# Long enough to hide the start of a program, short enough that 256,000 x a few tokens still fill a GPU.
_VOCAB_BLOCKS_PER_PROGRAM = 16
# The interpreter multiplies the bit patterns of bf16 tiles (triton-lang/triton#11584), so there they are
# widened first.
_IS_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def _tanh(x):
    """Compute tanh to float32 precision: its series near 0, where 1 - 2 / (exp(2x) + 1) cancels."""
    square = x * x
    series = x * (1 + square * (-1 / 3 + square * (2 / 15 + square * (-17 / 315 + square * (62 / 2835)))))
    size = tl.minimum(tl.abs(x), 20.0)  # tanh(20) is 1 in float32; exp(2 * 20) is finite
    magnitude = 1 - 2 / (tl.exp(2 * size) + 1)
    return tl.where(size < 0.15, series, tl.where(x < 0, -magnitude, magnitude))


@triton.jit
def _product_tile(
    left, left_row, left_k, right, right_k, right_column, rows, columns,
    row_count, column_count, k_count, PRECISION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Multiply left[rows, :] by right[:, columns], accumulating in float32. rows and columns are int64."""
    acc = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for start in range(0, k_count, BLOCK_K):
        acc = _product_step(
            acc, start, left, left_row, left_k, right, right_k, right_column, rows, columns,
            row_count, column_count, k_count, PRECISION, BLOCK_K,
        )  # fmt: skip
    return acc


@triton.jit
def _product_step(
    acc, start, left, left_row, left_k, right, right_k, right_column, rows, columns,
    row_count, column_count, k_count, PRECISION: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Add left[rows, start:start + BLOCK_K] @ right[start:start + BLOCK_K, columns] to acc."""
    k = start + tl.arange(0, BLOCK_K).to(tl.int64)
    left_mask = (rows[:, None] < row_count) & (k[None, :] < k_count)
    right_mask = (k[:, None] < k_count) & (columns[None, :] < column_count)
    a = tl.load(left + rows[:, None] * left_row + k[None, :] * left_k, mask=left_mask, other=0.0)
    b = tl.load(right + k[:, None] * right_k + columns[None, :] * right_column, mask=right_mask, other=0.0)
    if _IS_INTERPRETED or a.dtype != b.dtype:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, acc, input_precision=PRECISION)


@triton.jit
def _logit_tile(
    hidden, hidden_row, hidden_dim, weight, weight_row, weight_dim, bias,
    rows, columns, tokens, vocab, dim, scale, softcap, temperature,
    HAS_BIAS: tl.constexpr, HAS_SOFTCAP: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, BLOCK_VOCAB: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Compute logits[rows, columns] as LogitMap has them, -inf past the vocab, and the softcap's tanh."""
    logits = _product_tile(
        hidden, hidden_row, hidden_dim, weight, weight_dim, weight_row, rows, columns, tokens, vocab, dim,
        PRECISION, BLOCK_TOKENS, BLOCK_VOCAB, BLOCK_DIM,
    )  # fmt: skip
    if HAS_BIAS:
        logits += tl.load(bias + columns, mask=columns < vocab, other=0.0).to(tl.float32)[None, :]
    logits = logits * scale
    capped = logits
    if HAS_SOFTCAP:
        capped = _tanh(logits / softcap)
        logits = softcap * capped
    return tl.where(columns[None, :] < vocab, logits / temperature, float("-inf")), capped


@triton.jit
def _softmax_kernel(
    hidden, hidden_row, hidden_dim, weight, weight_row, weight_dim, bias,
    targets, tops, masses, heats, target_logits, tokens, vocab, dim,
    scale, softcap, temperature,
    HAS_BIAS: tl.constexpr, HAS_SOFTCAP: tl.constexpr, HAS_ENTROPY: tl.constexpr, PRECISION: tl.constexpr,
    BLOCKS: tl.constexpr, BLOCK_TOKENS: tl.constexpr, BLOCK_VOCAB: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Fold BLOCKS blocks of the vocabulary into (top, mass, heat) of a block of tokens; see
    chunked._OnlineSoftmax.

    tops, masses, heats: (stretches, tokens). target_logits: (tokens,), written by the one stretch that has
    the target.
    """
    # Neighboring programs share a stretch of the vocabulary, so that the head is read from memory about
    # once.
    rows = tl.program_id(0).to(tl.int64) * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    stretch = tl.program_id(1).to(tl.int64)
    first = stretch * BLOCKS * BLOCK_VOCAB
    is_token = rows < tokens
    target = tl.load(targets + rows, mask=is_token, other=-1)
    # The lowest finite number, so that a block of nothing but -inf gives no NaN.
    top = tl.full((BLOCK_TOKENS,), -3.4028234663852886e38, tl.float32)
    mass = tl.zeros((BLOCK_TOKENS,), tl.float32)
    heat = tl.zeros((BLOCK_TOKENS,), tl.float32)
    target_logit = tl.zeros((BLOCK_TOKENS,), tl.float32)
    for block in range(BLOCKS):
        columns = first + block * BLOCK_VOCAB + tl.arange(0, BLOCK_VOCAB)
        logits, _ = _logit_tile(
            hidden, hidden_row, hidden_dim, weight, weight_row, weight_dim, bias, rows, columns,
            tokens, vocab, dim, scale, softcap, temperature, HAS_BIAS, HAS_SOFTCAP, PRECISION,
            BLOCK_TOKENS, BLOCK_VOCAB, BLOCK_DIM,
        )  # fmt: skip
        target_logit += tl.sum(tl.where(columns[None, :] == target[:, None], logits, 0.0), axis=1)
        new_top = tl.maximum(top, tl.max(logits, axis=1))
        shrink = tl.exp(top - new_top)
        distance = logits - new_top[:, None]
        numerators = tl.exp(distance)
        if HAS_ENTROPY:
            hot = tl.sum(numerators * tl.maximum(distance, -1e4), axis=1)  # keeps 0 * -inf out
            heat = shrink * (heat + (top - new_top) * mass) + hot
        mass = shrink * mass + tl.sum(numerators, axis=1)
        top = new_top
    tl.store(tops + stretch * tokens + rows, top, mask=is_token)
    tl.store(masses + stretch * tokens + rows, mass, mask=is_token)
    if HAS_ENTROPY:
        tl.store(heats + stretch * tokens + rows, heat, mask=is_token)
    has_target = (target >= first) & (target < first + BLOCKS * BLOCK_VOCAB)
    tl.store(target_logits + rows, target_logit, mask=is_token & has_target)


@triton.jit
def _logit_gradient_kernel(
    hidden, hidden_row, hidden_dim, weight, weight_row, weight_dim, bias,
    targets, top_logits, log_masses, factors, out, live, tokens, vocab, dim,
    scale, softcap, temperature, negligible,
    HAS_BIAS: tl.constexpr, HAS_SOFTCAP: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, BLOCK_VOCAB: tl.constexpr, BLOCK_DIM: tl.constexpr,
):  # fmt: skip
    """Write the gradient of raw logits, factor * (p - onehot(target)) * softcap', to out (tokens, vocab).

    vocab is a slab, and targets are counted from its start: those outside it are below 0 or at least vocab.
    live: (blocks of tokens, blocks of the slab) int8, 0 for a block that is negligible and so not written.
    """
    rows = tl.program_id(0).to(tl.int64) * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    columns = tl.program_id(1).to(tl.int64) * BLOCK_VOCAB + tl.arange(0, BLOCK_VOCAB)
    is_token = rows < tokens
    logits, capped = _logit_tile(
        hidden, hidden_row, hidden_dim, weight, weight_row, weight_dim, bias, rows, columns,
        tokens, vocab, dim, scale, softcap, temperature, HAS_BIAS, HAS_SOFTCAP, PRECISION,
        BLOCK_TOKENS, BLOCK_VOCAB, BLOCK_DIM,
    )  # fmt: skip
    target = tl.load(targets + rows, mask=is_token, other=-1)
    top = tl.load(top_logits + rows, mask=is_token, other=0.0)
    log_mass = tl.load(log_masses + rows, mask=is_token, other=0.0)
    factor = tl.load(factors + rows, mask=is_token, other=0.0)
    probabilities = tl.exp(logits - top[:, None] - log_mass[:, None])
    mask = is_token[:, None] & (columns[None, :] < vocab)
    onehot = tl.where(columns[None, :] == target[:, None], 1.0, 0.0)
    # Counted, for a maximum may leave out what is no number.
    matters = mask & ~(probabilities + onehot <= negligible)
    is_live = tl.sum(tl.sum(matters.to(tl.int32), axis=1), axis=0) > 0
    tl.store(live + tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1), is_live.to(tl.int8))
    if is_live:
        gradient = factor[:, None] * (probabilities - onehot)
        if HAS_SOFTCAP:
            gradient = gradient * (1 - capped * capped)
        tl.store(out + rows[:, None] * vocab + columns[None, :], gradient, mask=mask)


@triton.jit
def _product_kernel(
    left, left_row, left_k, right, right_k, right_column, total, total_row, live, live_row, live_k,
    row_count, column_count, k_count, CONTINUES: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_K: tl.constexpr,
    LIVE_ROWS: tl.constexpr, LIVE_K: tl.constexpr,
):  # fmt: skip
    """total (row_count, column_count) float32 = left @ right, plus total if CONTINUES.

    live says of each block of left, of LIVE_ROWS x LIVE_K, whether it counts; BLOCK_ROWS and BLOCK_K divide these.
    """
    rows = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    columns = tl.program_id(1).to(tl.int64) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    counts = live + (tl.program_id(0) * BLOCK_ROWS // LIVE_ROWS).to(tl.int64) * live_row
    acc = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for start in range(0, k_count, BLOCK_K):
        if tl.load(counts + (start // LIVE_K) * live_k) != 0:
            acc = _product_step(
                acc, start, left, left_row, left_k, right, right_k, right_column, rows, columns,
                row_count, column_count, k_count, PRECISION, BLOCK_K,
            )  # fmt: skip
    address = total + rows[:, None] * total_row + columns[None, :]
    mask = (rows[:, None] < row_count) & (columns[None, :] < column_count)
    if CONTINUES:
        acc += tl.load(address, mask=mask, other=0.0)
    tl.store(address, acc, mask=mask)


def triton_token_logps(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logit_map: LogitMap,
    chunk_tokens: int,
    with_entropy: bool,
    weight_grad: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute what reference_token_logps defines, for one token or more.

    chunk_tokens bounds the backward; the forward writes no logits at all.
    """
    logps, entropy = _TritonTokenLogps.apply(
        hidden, weight, bias, targets, logit_map, chunk_tokens, with_entropy, weight_grad
    )
    return logps, entropy


class _TritonTokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        logit_map: LogitMap,
        chunk_tokens: int,
        with_entropy: bool,
        weight_grad: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        targets = targets.contiguous()
        bias = None if bias is None else bias.contiguous()
        with torch.cuda.device_of(hidden):  # Triton launches on the current device; does nothing for CPU tensors
            top, mass, heat, target_logits = _online_softmax(hidden, weight, bias, targets, logit_map, with_entropy)
        log_mass = mass.log()
        ctx.logit_map, ctx.chunk_tokens, ctx.weight_grad = logit_map, chunk_tokens, weight_grad
        ctx.save_for_backward(hidden, weight, bias, targets, top, log_mass)
        entropy = None if heat is None else log_mass - heat / mass
        if entropy is not None:
            ctx.mark_non_differentiable(entropy)
        return (target_logits - top) - log_mass, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logps: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, top, log_mass = ctx.saved_tensors
        logit_map: LogitMap = ctx.logit_map
        tokens, vocab, dim = len(hidden), len(weight), hidden.shape[1]
        factor = -grad_logps.to(torch.float32) * (logit_map.scale / logit_map.temperature)
        tile_tokens, tile_vocab = plan_tiles(tokens, vocab, dim, ctx.chunk_tokens * vocab)
        gradient = top.new_empty(tile_tokens * tile_vocab)
        negligible = -1.0 if ctx.needs_input_grad[2] else negligible_probability(hidden, weight)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden = top.new_empty(tokens, dim) if needs_hidden else None
        total = ctx.weight_grad
        grad_weight = (torch.empty_like(weight) if total is None else total) if needs_weight else None
        grad_bias = top.new_zeros(vocab) if needs_bias else None
        slab = top.new_empty(tile_vocab, dim) if needs_weight else None
        with torch.cuda.device_of(hidden):
            for columns in spans(vocab, tile_vocab):
                head = weight[columns]
                head_bias = None if bias is None else bias[columns]
                for rows in spans(tokens, tile_tokens):
                    some = hidden[rows]
                    out = gradient[: len(some) * len(head)].view(len(some), len(head))
                    live = _logit_gradient_into(
                        out, some, head, head_bias, targets[rows] - columns.start, top[rows], log_mass[rows],
                        factor[rows], logit_map, negligible,
                    )  # fmt: skip
                    if grad_hidden is not None:
                        _add_product(grad_hidden[rows], out, head, live, continues=columns.start > 0)
                    if slab is not None:
                        _add_product(slab[: len(head)], out.T, some, live.T, continues=rows.start > 0, is_turned=True)
                    if grad_bias is not None:
                        grad_bias[columns] += out.sum(0)
                if grad_weight is not None and slab is not None:
                    done = slab[: len(head)]
                    grad_weight[columns] = done if total is None else done + total[columns]
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            grad_weight if total is None else None,
            None if grad_bias is None else grad_bias.to(bias.dtype),
            *[None] * 5,
        )


def _online_softmax(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logit_map: LogitMap,
    with_entropy: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Launch the forward and combine its stretches: top, mass, heat, target's logit, (tokens,) each."""
    tokens, vocab = len(hidden), len(weight)
    stretches = triton.cdiv(vocab, _BLOCK_VOCAB * _VOCAB_BLOCKS_PER_PROGRAM)
    tops, masses, heats = (torch.empty(stretches, tokens, dtype=torch.float32, device=hidden.device) for _ in range(3))
    target_logits = torch.empty(tokens, dtype=torch.float32, device=hidden.device)
    _softmax_kernel[(triton.cdiv(tokens, _BLOCK_TOKENS), stretches)](
        *_head_arguments(hidden, weight, bias), targets, tops, masses, heats, target_logits,
        tokens, vocab, hidden.shape[1], *_map_arguments(logit_map),
        HAS_BIAS=bias is not None, HAS_SOFTCAP=logit_map.softcap is not None, HAS_ENTROPY=with_entropy,
        PRECISION="ieee", BLOCKS=min(_VOCAB_BLOCKS_PER_PROGRAM, triton.cdiv(vocab, _BLOCK_VOCAB)),
        BLOCK_TOKENS=_BLOCK_TOKENS, BLOCK_VOCAB=_BLOCK_VOCAB, BLOCK_DIM=_BLOCK_DIM, enable_fp_fusion=True,
    )  # fmt: skip
    top = tops.amax(0)
    shrink = torch.exp(tops - top)
    mass = (shrink * masses).sum(0)
    heat = (shrink * (heats + (tops - top) * masses)).sum(0) if with_entropy else None
    return top, mass, heat, target_logits


def _logit_gradient_into(
    out: Tensor, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor, top: Tensor,
    log_mass: Tensor, factor: Tensor, logit_map: LogitMap, negligible: float,
) -> Tensor:  # fmt: skip
    """Launch the gradient of some tokens' logits; give which of its blocks are live."""
    grid = (triton.cdiv(len(hidden), _BLOCK_TOKENS), triton.cdiv(len(head), _BLOCK_VOCAB))
    live = torch.empty(grid, dtype=torch.int8, device=hidden.device)
    _logit_gradient_kernel[grid](
        *_head_arguments(hidden, head, bias), targets, top, log_mass, factor, out, live,
        len(hidden), len(head), hidden.shape[1], *_map_arguments(logit_map), negligible,
        HAS_BIAS=bias is not None, HAS_SOFTCAP=logit_map.softcap is not None, PRECISION="ieee",
        BLOCK_TOKENS=_BLOCK_TOKENS, BLOCK_VOCAB=_BLOCK_VOCAB, BLOCK_DIM=_BLOCK_DIM, enable_fp_fusion=True,
    )  # fmt: skip
    return live


def negligible_probability(hidden: Tensor, weight: Tensor) -> float:
    """Say up to which probability a block of the logits' gradient is skipped; the bound is in the module's docstring."""
    return min(torch.finfo(hidden.dtype).eps, torch.finfo(weight.dtype).eps) / 16 / len(weight)


def _add_product(
    total: Tensor, left: Tensor, right: Tensor, live: Tensor, *, continues: bool, is_turned: bool = False
) -> None:
    """total = left @ right, plus total if continues, in place; total is float32 with contiguous rows.

    left: (tokens, vocab), or (vocab, tokens) if it is turned. live: which blocks of left count, turned with it.
    """
    rows, columns = total.shape
    live_rows, live_k = (_BLOCK_VOCAB, _BLOCK_TOKENS) if is_turned else (_BLOCK_TOKENS, _BLOCK_VOCAB)
    _product_kernel[(triton.cdiv(rows, _BLOCK_TOKENS), triton.cdiv(columns, _BLOCK_VOCAB))](
        left, *left.stride(), right, *right.stride(), total, total.stride(0), live, *live.stride(),
        rows, columns, left.shape[1], CONTINUES=continues, PRECISION="ieee" if right.dtype is torch.float32 else "tf32",
        BLOCK_ROWS=_BLOCK_TOKENS, BLOCK_COLUMNS=_BLOCK_VOCAB, BLOCK_K=_BLOCK_K,
        LIVE_ROWS=live_rows, LIVE_K=live_k, enable_fp_fusion=True,
    )  # fmt: skip


def _head_arguments(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    return hidden, *hidden.stride(), weight, *weight.stride(), weight if bias is None else bias


def _map_arguments(logit_map: LogitMap) -> tuple[float, float, float]:
    return logit_map.scale, logit_map.softcap or 1.0, logit_map.temperature
