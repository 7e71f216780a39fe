"""Time and memory of weighted_sum against its reference. Run: python kernels/benchmarks/weighted_sum.py"""

import argparse
from collections.abc import Callable

import torch
from measure import best_seconds, extra_peak_mib, print_heading

from aya_kernels import weighted_sum
from aya_kernels.weighted_sum.reference import reference_weighted_sum


def prepare(method: str, count: int, values: int, dtype: torch.dtype, device: str) -> Callable[[], object]:
    """Make the inputs; give a function that sums them."""
    torch.manual_seed(0)
    tensors = [torch.randn(values, device=device, dtype=dtype) for _ in range(count)]
    weights = [1 / count] * count
    if method == "reference":
        return lambda: reference_weighted_sum(tensors, weights, dtype)
    return lambda: weighted_sum(tensors, weights, backend=method)


def main() -> None:
    """Print one row per size and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=1 << 24, help="size of each tensor")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = print_heading().type
    methods = ["reference", "torch"] + (["triton"] if device == "cuda" else [])
    print("GB/s counts every input read once and the output written once.")
    print(f"{'tensors':>8} {'dtype':>15} {'method':>10} {'seconds':>9} {'GB/s':>7} {'extra MiB':>10}")
    for dtype in (torch.bfloat16, torch.float32):
        for count in (2, 5):
            for method in methods:
                args = (method, count, options.values, dtype, device)
                seconds = best_seconds(prepare(*args), options.repeats)
                speed = (count + 1) * options.values * dtype.itemsize / seconds / 1e9
                memory = extra_peak_mib(prepare, *args)
                print(
                    f"{count:>8} {dtype!s:>15} {method:>10} {seconds:9.4f} {speed:7.1f} {memory:10.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
