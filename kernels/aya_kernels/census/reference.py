"""The definition of census, in plain torch."""

from torch import Tensor


def reference_census(tensor: Tensor, low: float, high: float, base: Tensor | None) -> tuple[int, Tensor]:
    """Define the count above and the magnitudes inside."""
    magnitude = (tensor if base is None else tensor - base).abs().reshape(-1)
    return int((magnitude > high).sum()), magnitude[(magnitude >= low) & (magnitude <= high)]
