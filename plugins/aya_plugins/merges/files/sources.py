"""Where the values of one tensor of one model come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Source(Protocol):
    """One tensor of one model, read by ranges of its flat values, by several threads at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor that is read."""

    @property
    def dtype(self) -> str:
        """What it is stored in, safetensors' name."""

    @property
    def bytes(self) -> int:
        """How many bytes are read for all of it."""

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop) in float32, flat; a new tensor."""
