"""Write safetensors as tensors come, so that no more than two of them are in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_plugins.merges.checkpoint import INDEX, SINGLE, Entry

if TYPE_CHECKING:
    from torch import Tensor

MAX_SHARD_BYTES = 4 * 10**9


def plan_shards(entries: dict[str, Entry], max_bytes: int) -> dict[str, list[str]]:
    """Lay tensors out over files, in natural order of their names, each of at most max_bytes.

    A larger tensor has a file of its own. The layout depends on names, shapes and dtypes alone, not
    on how any input was laid out.
    """
    shards: list[list[str]] = [[]]
    filled = 0
    for name in sorted(entries, key=_natural):
        if shards[-1] and filled + entries[name].bytes > max_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += entries[name].bytes
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    return {f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors": shard for i, shard in enumerate(shards)}


def write_shards(out: Path, entries: dict[str, Entry], max_bytes: int, make: Callable[[str], Tensor]) -> list[Path]:
    """Write what `make` returns for each name; return the weight files.

    More than one file come with an index. A tensor is made while the one before it is being written.
    """
    shards = plan_shards(entries, max_bytes)
    for file_name, names in shards.items():
        # Widest dtype first, so that every tensor starts at a multiple of its item size, as safetensors
        # itself does it.
        ordered = sorted(names, key=lambda name: (-entries[name].item_bytes, _natural(name)))
        with (out / file_name).open("wb") as file, ThreadPoolExecutor(max_workers=1) as writer:
            file.write(_header(ordered, entries))
            pending: Future[int] | None = None
            for name in ordered:
                tensor = make(name)
                if pending:
                    pending.result()
                pending = writer.submit(file.write, _raw(tensor))
            if pending:
                pending.result()
    if len(shards) > 1:
        weight_map = {name: file_name for file_name, names in shards.items() for name in names}
        total = sum(entry.bytes for entry in entries.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return [out / file_name for file_name in shards]


def _header(names: Sequence[str], entries: dict[str, Entry]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses a file without it
    offset = 0
    for name in names:
        entry = entries[name]
        end = offset + entry.bytes
        header[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _raw(tensor: Tensor) -> memoryview:
    import torch

    values: Any = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return memoryview(values)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
