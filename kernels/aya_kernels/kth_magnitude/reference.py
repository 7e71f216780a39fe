"""The definition of kth_magnitude, in plain torch."""

from torch import Tensor


def reference_kth_magnitude(tensor: Tensor, k: int) -> float:
    """Define it by sorting."""
    return float(tensor.abs().reshape(-1).sort(descending=True).values[k - 1])
