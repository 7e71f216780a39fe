"""Read the tensors of `.bin` files, which torch.save wrote, without running anything that such a file may hold."""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.api import DataError

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Safetensors' names of torch's dtypes."""


def pickled_tensors(path: Path) -> dict[str, Tensor]:
    """Map the tensors of a file by torch's reader of weights alone, which takes nothing but tensors and plain containers.

    Files of torch before 1.6 cannot be mapped and are read whole. Raises DataError for a file that holds anything else.
    """
    import torch

    try:
        try:
            found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format of torch before 1.6
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: holds more than tensors, which could run code and is not read ({_first_line(error)}); convert the "
            "checkpoint with transformers (from_pretrained, then save_pretrained), which writes safetensors"
        ) from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes of torch's reader
        raise DataError(
            f"{path}: not a whole file of torch.save ({_first_line(error)}); fetch or save it again"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise DataError(f"{path}: holds {type(found).__name__}; expected tensors by name, as transformers saves them")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise DataError(f"{path}: '{name}' is {type(tensor).__name__}; expected tensors by name, and nothing else")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
            raise DataError(
                f"{path}: tensor '{name}' is no plain array ({tensor.layout}); save the checkpoint as safetensors"
            )
        if str(tensor.dtype).removeprefix("torch.") not in _DTYPES:
            raise DataError(
                f"{path}: tensor '{name}' has dtype {tensor.dtype}, which is not known here; convert it first"
            )
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def dtype_name(tensor: Tensor) -> str:
    """Safetensors' name of a tensor's dtype."""
    return _DTYPES[str(tensor.dtype).removeprefix("torch.")]


class OpenPickled:
    """A `.bin` file, open for reading as `OpenFile` is: its tensors lie one after the other, in the order of the file.

    tensors: shape, dtype (safetensors' name) and offset of each, by name.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises DataError."""
        self.tensors: dict[str, tuple[tuple[int, ...], str, int]] = {}
        self._starts: list[int] = []
        self._raw: list[memoryview] = []
        offset = 0
        for name, tensor in pickled_tensors(path).items():
            raw = memoryview(_bytes(tensor))
            self.tensors[name] = tuple(tensor.shape), dtype_name(tensor), offset
            self._starts.append(offset)
            self._raw.append(raw)
            offset += len(raw)

    def read(self, into: memoryview, offset: int) -> None:
        """Fill a buffer, from one tensor."""
        number = bisect_right(self._starts, offset) - 1
        first = offset - self._starts[number]
        into[:] = self._raw[number][first : first + len(into)]


def _bytes(tensor: Tensor) -> Any:
    import torch

    return tensor.flatten().view(torch.uint8).numpy()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
