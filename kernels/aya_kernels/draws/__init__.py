"""Random words that do not depend on who draws them, in what order, or where."""

import operator

import torch
from torch import Tensor

from aya_kernels.draws.stream import stream_words
from aya_kernels.shared.dispatch import Backend, choose_backend

__all__ = ["draws"]


def draws(
    key: tuple[int, int], start: int, count: int, *, device: str | torch.device = "cpu", backend: Backend = "auto"
) -> Tensor:
    """Give the random 32-bit words number start to start + count - 1 of the stream that a key names.

    The same words come out however a range is cut, on any device. A value is kept with probability p where its word
    is below p * 2^32.

    key: two integers, 0 to 2^64 - 1. start: 0 to 2^63 - 1.
    backend: "auto" is Triton on CUDA devices and numpy's generator elsewhere. The Triton kernel has been run in the
        interpreter only, not on a GPU.

    Returns shape (count,), int64, each 0 to 2^32 - 1.

    Raises ValueError for a key, start or count outside its range, and for a backend that cannot run here.

    Source: Philox4x64-10 of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". The words are those
    of `numpy.random.Philox(key=key).random_raw()`, the low half of each 64-bit number first.
    """
    check_stream("draws", key, start)
    if operator.index(count) < 0:
        raise ValueError(f"draws: count is {count}; expected 0 or more")
    placed = torch.empty(0, device=device)
    if choose_backend(backend, [placed], op="draws") == "triton":
        from aya_kernels.draws.kernel import triton_draws

        return triton_draws(key, start, count, placed.device)
    return torch.from_numpy(stream_words(key, start, count).astype("int64")).to(device)


def check_stream(op: str, key: tuple[int, int], start: int) -> None:
    """Raise ValueError where a key or start is outside the stream's range."""
    for what, number, bits in (("key[0]", key[0], 64), ("key[1]", key[1], 64), ("start", start, 63)):
        if not 0 <= operator.index(number) < 1 << bits:
            raise ValueError(f"{op}: {what} is {number}; expected an integer from 0 to 2^{bits} - 1")
