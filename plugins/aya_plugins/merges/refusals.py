"""What merges say to models and weights that they have no meaning for."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.api import AyaError


def refuse_weights(name: str, weights: Sequence[float], remedy: str) -> None:
    """Raise AyaError unless all weights are equal. remedy: what to do instead."""
    if any(weight != weights[0] for weight in weights):
        raise AyaError(f"merge '{name}': weights {list(weights)} have no meaning here; {remedy}")


def refuse_number(name: str, got: int, expected: str, remedy: str) -> None:
    """Raise AyaError for a number of models that a merge cannot take."""
    models = "model" if got == 1 else "models"
    raise AyaError(f"merge '{name}': got {got} {models}, expected {expected}; {remedy}")
