"""kth_magnitude on CPU, by numpy's partition."""

from torch import Tensor


def partition_kth_magnitude(tensor: Tensor, k: int) -> float:
    """Compute what reference_kth_magnitude defines."""
    magnitude = tensor.abs().reshape(-1).numpy()  # a new tensor, free to be reordered
    position = magnitude.size - k
    magnitude.partition(position)
    return float(magnitude[position])
