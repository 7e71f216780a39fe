"""Time and memory of token_logps against full logits, and against its matrix products alone.

    python kernels/benchmarks/token_logps.py

On a CPU `products` makes the same products in the same tiles by the same library, with nothing between them: three with the backward
where the tokens fit in one chunk, else four. `torch.mm` makes as many with torch.mm, which is MKL's, each in one piece.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import best_seconds, extra_peak_mib, print_heading
from torch import Tensor

from aya_kernels.token_logps import default_chunk_tokens, token_logps
from aya_kernels.token_logps.chunked import _LOGITS_PER_CPU_TILE, plan_tiles, spans
from aya_kernels.token_logps.products import add_product, write_product
from aya_kernels.token_logps.reference import LogitMap, reference_token_logps

CPU_SIZES = [
    (512, 256, 32_000),
    (2048, 256, 32_000),
    (1024, 512, 64_000),
    (520, 256, 128_000),
    (2080, 256, 128_000),
    (256, 256, 256_000),
]
# Heads of published models: SmolLM2 135M, Gemma 3 270M, Qwen2.5 0.5B, and Command R7B (here with float32 weights of 4 GB).
PUBLISHED_SIZES = [
    (64, 576, 49_152),
    (1536, 576, 49_152),
    (64, 640, 262_144),
    (512, 640, 262_144),
    (64, 896, 151_936),
    (512, 896, 151_936),
    (64, 4096, 256_000),
]
# Runs in turn take at least so long.
LEAST_SECONDS = 2.0
GPU_SIZES = [(8192, 4096, 131_072), (4096, 4096, 256_000), (8192, 8192, 256_000)]


def prepare(
    method: str, with_backward: bool, dtype: torch.dtype, device: str, tokens: int, dim: int, vocab: int
) -> Callable[[], object]:
    """Make the inputs; give a function that scores them, and differentiates if asked, or only multiplies."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, dim, device=device, dtype=dtype).requires_grad_(with_backward)
    weight = torch.randn(vocab, dim, device=device, dtype=dtype).mul_(dim**-0.5).requires_grad_(with_backward)
    targets = torch.randint(vocab, (tokens,), device=device)
    products = 1 if not with_backward else 3 if tokens <= default_chunk_tokens(vocab) else 4
    if method == "products":
        return same_products(hidden.detach(), weight.detach(), products)
    if method == "torch.mm":
        return whole_products(hidden.detach(), weight.detach(), products)

    def work() -> None:
        if method == "reference":
            logps, _ = reference_token_logps(hidden, weight, None, targets, LogitMap(scale=0.25), False)
        else:
            logps = token_logps(hidden, weight, targets, logit_scale=0.25, backend=method)
        if with_backward:
            torch.autograd.grad(logps.sum(), (hidden, weight))

    return work


def same_products(hidden: Tensor, weight: Tensor, products: int) -> Callable[[], object]:
    """Multiply as the chunked path does, tile by tile."""
    (tokens, dim), vocab = hidden.shape, len(weight)
    step, width = plan_tiles(tokens, vocab, dim, _LOGITS_PER_CPU_TILE)
    tile = torch.empty(step * width)

    def work() -> None:
        grad_hidden, grad_weight = torch.empty_like(hidden), torch.empty_like(weight)
        for walk in ("forward", "backward") if products == 4 else ("both",):
            for columns in spans(vocab, width):
                head = weight[columns]
                for rows in spans(tokens, step):
                    some = hidden[rows]
                    values = tile[: len(some) * len(head)].view(len(some), len(head))
                    write_product(values, some, head.T)
                    if products > 1 and walk != "forward":
                        add_product(grad_hidden[rows], values, head, starts=columns.start == 0)
                        add_product(grad_weight[columns], values.T, some, starts=rows.start == 0)

    return work


def whole_products(hidden: Tensor, weight: Tensor, products: int) -> Callable[[], object]:
    """Multiply with torch.mm, the logits in one piece."""

    def work() -> None:
        for _ in range(2 if products == 4 else 1):
            logits = hidden @ weight.T
        if products > 1:
            _ = logits @ weight, logits.T @ hidden

    return work


def main() -> None:
    """Print one row per size and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device, dtype = print_heading().type, getattr(torch, options.dtype)
    methods = ["reference", "torch", "triton"] if device == "cuda" else ["reference", "torch.mm", "products", "torch"]
    print("GFLOP/s counts 2 * tokens * dim * vocab for the forward, three times that with the backward.")
    print("At published sizes, the last column is the best time beside torch.mm's best, run in turn.")
    print(f"{'tokens x dim x vocab':>22} {'pass':>9} {'method':>10} {'seconds':>9} {'GFLOP/s':>9} {'extra MiB':>10}")
    for tokens, dim, vocab in CPU_SIZES if device == "cpu" else GPU_SIZES:
        for with_backward in (False, True):
            for method in methods:
                args = (method, with_backward, dtype, device, tokens, dim, vocab)
                seconds = best_seconds(prepare(*args), options.repeats)
                print_row(args, seconds, f"{extra_peak_mib(prepare, *args):10.0f}")
    for tokens, dim, vocab in PUBLISHED_SIZES if device == "cpu" else ():
        for with_backward in (False, True):
            sizes = (with_backward, dtype, device, tokens, dim, vocab)
            theirs, ours = in_turn("torch.mm", "torch", sizes, options.repeats)
            print_row(("torch.mm", *sizes), theirs, "")
            print_row(("torch", *sizes), ours, f"{ours / theirs:10.2f}")


def in_turn(one: str, other: str, sizes: tuple[Any, ...], repeats: int) -> tuple[float, float]:
    """Time two methods in turn on the same inputs, after one run each to warm up; give the best of each.

    Short ones repeat until they have taken LEAST_SECONDS: a machine with neighbors doubles single runs of 0.1 s.
    """
    works = [prepare(method, *sizes) for method in (one, other)]
    times: tuple[list[float], list[float]] = ([], [])
    for work in works:
        work()
    while len(times[0]) < repeats or sum(times[0]) < LEAST_SECONDS:
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


def print_row(args: tuple[Any, ...], seconds: float, last: str) -> None:
    """Print what a method took."""
    method, with_backward, _, _, tokens, dim, vocab = args
    speed = (6 if with_backward else 2) * tokens * dim * vocab / seconds / 1e9
    size, name = f"{tokens} x {dim} x {vocab}", "fwd+bwd" if with_backward else "forward"
    print(f"{size:>22} {name:>9} {method:>10} {seconds:9.3f} {speed:9.1f} {last:>10}", flush=True)


if __name__ == "__main__":
    main()
