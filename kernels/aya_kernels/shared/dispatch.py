"""Decide whether an op runs in plain torch or in Triton."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Literal

import torch

Backend = Literal["auto", "torch", "triton"]


def choose_backend(requested: str, tensors: Sequence[torch.Tensor], *, op: str) -> Literal["torch", "triton"]:
    """Pick the backend for these inputs, or say why the requested one cannot run them.

    "auto" means Triton for CUDA tensors that it can serve, plain torch for everything else. "torch" always
    works. "triton" is a demand: it is met or refused, never quietly replaced. Triton runs on CPU tensors when
    TRITON_INTERPRET=1 was set before Triton was first imported; that is for tests and is very slow.

    tensors: the inputs of the op, at least one, all on one device.
    op: name of the op, for the error message.

    Raises ValueError for an unknown backend, and for "triton" where Triton cannot run.
    """
    if requested == "torch":
        return "torch"
    if requested == "auto":
        on_gpu = all(tensor.is_cuda for tensor in tensors)
        return "triton" if on_gpu and _obstacle_to_triton(tensors) is None else "torch"
    if requested == "triton":
        obstacle = _obstacle_to_triton(tensors)
        if obstacle is not None:
            raise ValueError(f"{op}: backend 'triton' cannot run here: {obstacle}")
        return "triton"
    raise ValueError(f"{op}: no backend named {requested!r}; use 'auto', 'torch' or 'triton'")


def _obstacle_to_triton(tensors: Sequence[torch.Tensor]) -> str | None:
    """Say what keeps Triton from these tensors and what to do about it; None when nothing does."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed; install it, or use backend='torch'"
    for tensor in tensors:
        if tensor.dtype is torch.float64:
            return "the kernels do not compute in float64; convert to float32, or use backend='torch'"
        if not tensor.is_cuda and not _interpreter_is_on():
            return (
                f"a tensor is on '{tensor.device}' and Triton needs a GPU; move it to one, use "
                "backend='torch', or, to test the kernels on CPU, set TRITON_INTERPRET=1 before Triton is imported"
            )
    return None


def _interpreter_is_on() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in {"1", "true", "on", "yes", "y"}
