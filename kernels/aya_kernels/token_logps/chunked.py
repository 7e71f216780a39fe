"""token_logps in plain torch, one tile of logits at a time. Runs on any device; fast on CPU.

The (tokens x vocab) logits are visited in tiles that never hold more than chunk_tokens * vocab of them. The
walk goes through the vocabulary outside and the tokens inside, so that each row of the head is read and
widened to float32 once, and its gradient is complete, and rounded once, when the walk leaves it. With a
vocabulary far larger than the batch this moves less memory than chunks of tokens, which go through the whole
head, and its gradient, once per chunk.

A tile becomes exponentials while it is in the cache, where these cost a tenth of its matrix product; over
memory they would cost as much as a third of it.
"""

import mmap
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from aya_kernels.token_logps.products import add_product, write_product
from aya_kernels.token_logps.reference import LogitMap, accumulation_dtype

# 4 MiB of float32: larger tiles leave the cache between the matrix product and the exponential. A GPU wants
# the largest tile that memory allows.
_LOGITS_PER_CPU_TILE = 1 << 20
# Narrower tiles lose more in the matrix products than they win in cache.
_MIN_TILE_VOCAB = 1024
# Above this the C library asks the system for each buffer anew; below it hands out what it has.
_LEAST_MAPPED_BYTES = 1 << 25


class Tile(NamedTuple):
    """Some tokens against some of the vocabulary.

    head: (columns, dim), those rows of the weight in the accumulation dtype.
    values: (rows, columns), logits or what became of them; overwritten by the next tile.
    """

    rows: slice
    columns: slice
    head: Tensor
    values: Tensor


def plan_tiles(tokens: int, vocab: int, dim: int, max_logits: int) -> tuple[int, int]:
    """Give tile sizes (tokens, vocab) of at most max_logits: all tokens where that leaves the tile wide
    enough.

    The widened rows of the head, (vocab, dim), stay below max_logits too, unless that would make the tile too
    narrow.
    """
    widest = max_logits // max(tokens, dim, 1)
    tile_vocab = min(vocab, max_logits, max(_MIN_TILE_VOCAB, widest))
    return max(1, min(tokens, max_logits // tile_vocab)), tile_vocab


def spans(length: int, step: int) -> Iterator[slice]:
    """Cut range(length) into slices of step, the last one shorter. An empty range is one empty slice."""
    for start in range(0, max(length, 1), step):
        yield slice(start, min(start + step, length))


def chunked_token_logps(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logit_map: LogitMap,
    chunk_tokens: int,
    with_entropy: bool,
    weight_grad: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute what reference_token_logps defines, in bounded memory.

    When all tokens fit in one chunk, the forward keeps its exponentials and the backward needs no second pass
    over the head: three matrix products in all, and not four. They are released by the first backward; another
    one (retain_graph) computes the logits again.
    """
    needs_gradient = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (hidden, weight, bias)
    )
    keeps_numerators = needs_gradient and len(hidden) <= chunk_tokens and logit_map.softcap is None
    logps, entropy = _ChunkedTokenLogps.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, logit_map, chunk_tokens, with_entropy, weight_grad, keeps_numerators
    )
    return logps, entropy


class _ChunkedTokenLogps(torch.autograd.Function):
    """log p[target] = x[target] - top - log(mass), where top = max(x) and mass = sum(exp(x - top))."""

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
        keeps_numerators: bool,
    ) -> tuple[Tensor, Tensor | None]:
        tokens, vocab = len(hidden), len(weight)
        limit = _LOGITS_PER_CPU_TILE if hidden.device.type == "cpu" else sys.maxsize
        ctx.tile_shape = plan_tiles(tokens, vocab, hidden.shape[1], min(chunk_tokens * vocab, limit))
        ctx.kept = _Kept(hidden, weight) if keeps_numerators else None
        with torch.autocast(hidden.device.type, enabled=False):  # autocast would round the products to bf16
            softmax = _OnlineSoftmax(hidden, weight, targets, with_entropy)
            buffer = None if ctx.kept is None else ctx.kept.numerators
            for tile in _logit_tiles(hidden, weight, bias, logit_map, ctx.tile_shape, buffer):
                if logit_map.softcap is not None:
                    tile.values.mul_(logit_map.softcap / logit_map.temperature)
                softmax.absorb(tile.values, tile.columns, tile.rows)
                if ctx.kept is not None:
                    ctx.kept.tops.append(softmax.top[tile.rows].clone())
        ctx.logit_map, ctx.weight_grad = logit_map, weight_grad
        ctx.save_for_backward(hidden, weight, bias, targets, softmax.top, softmax.mass)
        entropy = softmax.entropy()
        if entropy is not None:
            ctx.mark_non_differentiable(entropy)
        return softmax.target_logps(), entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logps: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, top, mass = ctx.saved_tensors
        with torch.autocast(hidden.device.type, enabled=False):
            tiles = _residual_tiles(ctx, hidden, weight, bias, targets, top, mass)
            # From a residual of (numerators - onehot * mass) to the gradient of the raw logits, per token.
            factor = -grad_logps.to(top.dtype) * (ctx.logit_map.scale / ctx.logit_map.temperature) / mass
            grads = _accumulate_gradients(
                tiles, hidden, weight, bias, factor, ctx.needs_input_grad[:3], ctx.weight_grad
            )
        return (*grads, *[None] * 6)


class _Kept:
    """What a forward keeps for its backward.

    numerators: (tokens * vocab,), exp(x - top) tile after tile. tops: for each tile the `top` that was known then.
    """

    def __init__(self, hidden: Tensor, weight: Tensor) -> None:
        self.numerators = float_buffer(len(hidden) * len(weight), accumulation_dtype(hidden, weight), hidden.device)
        self.tops: list[Tensor] = []


class _OnlineSoftmax:
    """What the softmax of each token needs to remember of the logits seen so far (Milakov & Gimelshein,
    algorithm 3).

    top: the largest logit. mass: sum of exp(logit - top). heat: sum of exp(logit - top) * (logit - top), for
    the entropy. All (tokens,).
    """

    def __init__(self, hidden: Tensor, weight: Tensor, targets: Tensor, with_entropy: bool) -> None:
        wide = accumulation_dtype(hidden, weight)
        self.targets = targets
        # The lowest finite number, not -inf: a tile may hold nothing but -inf (a bias that forbids tokens).
        self.top = torch.full((len(hidden),), torch.finfo(wide).min, dtype=wide, device=hidden.device)
        self.mass = torch.zeros_like(self.top)
        self.heat = torch.zeros_like(self.top) if with_entropy else None
        self.target_logit = torch.zeros_like(self.top)

    def absorb(self, logits: Tensor, columns: slice, rows: slice) -> None:
        """Take in a tile of logits, overwriting it with exp(logit - top)."""
        index, is_inside = _targets_within(self.targets[rows], columns)
        self.target_logit[rows] = torch.where(is_inside, logits.gather(1, index).squeeze(1), self.target_logit[rows])
        old_top = self.top[rows]
        top = torch.maximum(old_top, logits.amax(1))
        shrink = torch.exp(old_top - top)
        shifted = logits.sub_(top[:, None])
        if self.heat is None:
            numerators = shifted.exp_()
        else:
            distances = shifted.clamp(min=-1e4)  # keeps 0 * -inf out of the heat; exp(-1e4) is 0
            numerators = shifted.exp_()
            new_heat = torch.linalg.vecdot(numerators, distances)
            self.heat[rows] = shrink * (self.heat[rows] + (old_top - top) * self.mass[rows]) + new_heat
        self.mass[rows] = shrink * self.mass[rows] + numerators.sum(1)
        self.top[rows] = top

    def target_logps(self) -> Tensor:
        return (self.target_logit - self.top) - self.mass.log()

    def entropy(self) -> Tensor | None:
        return None if self.heat is None else self.mass.log() - self.heat / self.mass


def _logit_tiles(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    logit_map: LogitMap,
    tile_shape: tuple[int, int],
    kept: Tensor | None = None,
) -> Iterator[Tile]:
    """Walk over all tiles of logits, written one after the other into kept, if given, or each over the last."""
    wide = accumulation_dtype(hidden, weight)
    wide_hidden = hidden.to(wide)
    buffer = wide_hidden.new_empty(tile_shape[0] * tile_shape[1]) if kept is None else kept
    start = 0
    for columns in spans(len(weight), tile_shape[1]):
        head = weight[columns].to(wide)
        head_bias = None if bias is None else bias[columns].to(wide)
        for rows in spans(len(hidden), tile_shape[0]):
            some = wide_hidden[rows]
            out = buffer[start : start + len(some) * len(head)].view(len(some), len(head))
            start += 0 if kept is None else out.numel()
            yield Tile(rows, columns, head, _logits_into(out, some, head, head_bias, logit_map))


def _kept_tiles(tokens: int, weight: Tensor, kept: _Kept, top: Tensor, tile_shape: tuple[int, int]) -> Iterator[Tile]:
    """Walk over tiles of the numerators exp(x - top) that a forward kept."""
    start, tops = 0, iter(kept.tops)
    for columns in spans(len(weight), tile_shape[1]):
        head = weight[columns].to(top.dtype)
        for rows in spans(tokens, tile_shape[0]):
            early = next(tops)
            size = len(early) * len(head)
            values = kept.numerators[start : start + size].view(len(early), len(head))
            start += size
            yield Tile(rows, columns, head, values.mul_(torch.exp(early - top[rows])[:, None]))


def _logits_into(out: Tensor, hidden: Tensor, head: Tensor, bias: Tensor | None, logit_map: LogitMap) -> Tensor:
    """Write LogitMap.apply(hidden @ head.T + bias) into out, its constant factors folded into the matrix
    product.

    With a softcap, the last factor, softcap / temperature, is left to the caller: the backward needs the tanh
    alone.
    """
    factor = logit_map.scale / (logit_map.temperature if logit_map.softcap is None else logit_map.softcap)
    write_product(out, hidden, head.T, bias=bias, factor=factor)
    return out if logit_map.softcap is None else out.tanh_()


def _residual_tiles(
    ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, top: Tensor, mass: Tensor
) -> Iterator[Tile]:
    """Walk over tiles of (exp(x - top) - onehot(target) * mass) * softcap'(x).

    They are the gradient of the raw logits but for a factor per row, which is cheaper to put on hidden.
    """
    kept, ctx.kept = ctx.kept, None  # overwritten here, so good for one backward
    if kept is None:
        tiles = _logit_tiles(hidden, weight, bias, ctx.logit_map, ctx.tile_shape)
    else:
        tiles = _kept_tiles(len(hidden), weight, kept, top, ctx.tile_shape)
    softcap, temperature = ctx.logit_map.softcap, ctx.logit_map.temperature
    for tile in tiles:
        values, slope = tile.values, None
        if softcap is not None:  # tanh' = 1 - tanh^2
            slope = values.square().neg_().add_(1)
            values.mul_(softcap / temperature)
        if kept is None:
            values.sub_(top[tile.rows, None]).exp_()
        index, is_inside = _targets_within(targets[tile.rows], tile.columns)
        values.scatter_add_(1, index, torch.where(is_inside, -mass[tile.rows], 0.0)[:, None])
        if slope is not None:
            values.mul_(slope)
        yield tile


def _accumulate_gradients(
    tiles: Iterator[Tile],
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    factor: Tensor,
    needed: tuple[bool, bool, bool],
    weight_grad: Tensor | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Sum the tiles, times a factor per token, into the gradients of hidden, weight and bias, if needed.

    That of weight is added to weight_grad, if given, and is not returned then.
    """
    wide = factor.dtype
    scaled_hidden = hidden.to(wide) * factor[:, None]
    grad_hidden = torch.empty_like(scaled_hidden) if needed[0] else None
    grad_weight = weight_grad
    if not needed[1]:
        grad_weight = None
    elif weight_grad is None:
        grad_weight = float_buffer(weight.numel(), weight.dtype, weight.device).view(weight.shape)
    grad_bias = torch.zeros_like(bias, dtype=wide) if needed[2] and bias is not None else None
    slab = None  # gradient of the rows of the head that the walk is at
    for rows, columns, head, values in tiles:
        if grad_hidden is not None:
            add_product(grad_hidden[rows], values, head, starts=columns.start == 0)
        if grad_bias is not None:
            grad_bias[columns].addmv_(values.T, factor[rows])
        if grad_weight is not None:
            if rows.start == 0:
                slab = grad_weight[columns] if weight.dtype == wide else torch.empty_like(head)
            assert slab is not None  # the walk starts each span of columns at row 0
            is_fresh = rows.start == 0 and (weight_grad is None or weight.dtype != wide)
            add_product(slab, values.T, scaled_hidden[rows], starts=is_fresh)
            if rows.stop == len(hidden) and weight.dtype != wide:
                grad_weight[columns] = slab if weight_grad is None else slab + weight_grad[columns]
    if grad_hidden is not None:
        grad_hidden = grad_hidden.mul_(factor[:, None]).to(hidden.dtype)
    returned = grad_weight if weight_grad is None else None
    return grad_hidden, returned, None if grad_bias is None or bias is None else grad_bias.to(bias.dtype)


def _targets_within(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Place targets (rows,) in a span of the vocabulary: an index (rows, 1), and (rows,) where it is real."""
    index = targets - columns.start
    is_inside = (index >= 0) & (index < columns.stop - columns.start)
    return index.clamp(0, columns.stop - columns.start - 1)[:, None], is_inside


def float_buffer(values: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give an uninitialized buffer of (values,), on Linux in huge pages where it is on the CPU and large.

    A fresh buffer is handed over page by page as it is first written. In pages of 4 KiB that costs 0.1 s for
    256 MiB, a tenth of the matrix products that fill it; in huge pages a tenth of that. Where the system has
    none left it gives small ones.
    """
    size = values * dtype.itemsize
    if device.type != "cpu" or sys.platform != "linux" or size < _LEAST_MAPPED_BYTES:
        return torch.empty(values, dtype=dtype, device=device)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype)
