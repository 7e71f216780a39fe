"""Speed of the kernels of merging against their references. Run: python kernels/benchmarks/merges.py

Draws are held against torch.randint, which starts anew for every tensor and depends on how the work is cut.

On CPU each runs in one thread, on pieces, as the merge engine runs several side by side.
"""

import argparse
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from measure import best_seconds, print_heading

from aya_kernels import Keep, census, draws, gram, kth_magnitude, merge_task_vectors

MODELS = 3
Work = Callable[[], object]


def reference(op: str) -> Callable[..., Any]:
    """Give the definition of an op."""
    found: Callable[..., Any] = getattr(import_module(f"aya_kernels.{op}.reference"), f"reference_{op}")
    return found


def works(values: int, device: torch.device) -> Iterator[tuple[str, int, Work, Work]]:
    """Make the inputs; give name, float32 values read and written, the reference's work and the op's."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(values, generator=generator).to(device)
    models = [base + 0.1 * torch.randn(values, generator=generator).to(device) for _ in range(MODELS)]
    weights = [1.0] * MODELS
    trimmed = [Keep(low=0.1)] * MODELS
    dropped = [Keep(density=0.5, key=(0, i), scale=2.0) for i in range(MODELS)]
    merges: dict[str, tuple[list[Keep], Any]] = {
        "task arithmetic": ([Keep()] * MODELS, None),
        "breadcrumbs": ([Keep(low=0.01, high=0.2)] * MODELS, None),
        "ties": (trimmed, "weighted"),
        "dare-linear": (dropped, None),
        "dare-ties": (dropped, "weighted"),
    }
    for name, (keep, elect) in merges.items():
        yield (
            name,
            (MODELS + 2) * values,
            lambda keep=keep, elect=elect: reference("merge_task_vectors")(
                base, models, weights, keep, elect, True, 1.0
            ),
            lambda keep=keep, elect=elect: merge_task_vectors(
                base, models, weights, keep=keep, elect=elect, normalize=True
            ),
        )
    yield "gram", (MODELS + 1) * values, lambda: reference("gram")(models, base), lambda: gram(models, base)
    yield (
        "census of 2%",
        2 * values,
        lambda: reference("census")(models[0], 0.13, 0.14, base),
        lambda: census(models[0], 0.13, 0.14, base),
    )
    k = values // 5
    yield (
        "kth magnitude",
        values,
        lambda: reference("kth_magnitude")(models[0], k),
        lambda: kth_magnitude(models[0], k),
    )
    yield (
        "draws",
        2 * values,
        lambda: torch.randint(1 << 32, (values,), device=device),  # the definition counts in Python
        lambda: draws((0, 0), 0, values, device=device),
    )


def main() -> None:
    """Print one row per op."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, help="of each tensor; 65,536 on CPU and 2^26 on a GPU if not given")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = print_heading()
    values = options.values or (1 << 26 if device.type == "cuda" else 1 << 16)
    source, target = torch.zeros(2, values, device=device)
    copied = 8 * values / best_seconds(lambda: target.copy_(source), options.repeats) / 1e9
    print(f"{MODELS} models of {values:,} values. GB/s counts each input read once and the output written once.")
    print(f"A copy of as many values: {copied:.1f} GB/s.")
    print(f"{'op':>16} {'reference ns/value':>19} {'ns/value':>9} {'GB/s':>7} {'times faster':>13}")
    for name, moved, define, compute in works(values, device):
        slow, fast = (
            best_seconds(define, options.repeats),
            best_seconds(compute, options.repeats),
        )
        print(
            f"{name:>16} {slow / values * 1e9:19.2f} {fast / values * 1e9:9.2f} {4 * moved / fast / 1e9:7.1f} "
            f"{slow / fast:13.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
