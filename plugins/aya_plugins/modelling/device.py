"""Where and in which precision a model runs when nothing is said."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """Turn a setting into a device; "auto" is the GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """Turn a setting into a dtype; "auto" keeps the checkpoint's (None), but on a CPU is float32.

    bfloat16 products on a CPU without such instructions can be 100 times slower than float32.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else None
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype
