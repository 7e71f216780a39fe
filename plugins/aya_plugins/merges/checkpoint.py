"""Read a Hugging Face checkpoint, in one file or in shards, by memory map, and find its faults first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aya_core.api import DataError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
FLOATS = ("F32", "BF16", "F16")
INTEGERS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


class Entry(NamedTuple):
    """A tensor as its file announces it. dtype: safetensors' name for it."""

    file: Any
    shape: tuple[int, ...]
    dtype: str

    @property
    def values(self) -> int:
        """How many values it has."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.values * self.item_bytes

    @property
    def item_bytes(self) -> int:
        """How many bytes one value takes."""
        return _BYTES[self.dtype]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder, opened. config: its config.json. entries: its tensors by name."""

    folder: Path
    config: Mapping[str, Any]
    entries: Mapping[str, Entry]

    @property
    def name(self) -> str:
        """Its name in messages and model cards: the folder's, or that of the artifact it belongs to."""
        folder = self.folder.absolute()
        return folder.parent.name if folder.name == "payload" else folder.name

    def read(self, name: str) -> Tensor:
        """Map one tensor; its pages are read when they are used."""
        tensor: Tensor = self.entries[name].file.get_tensor(name)
        return tensor

    @cached_property
    def vocabulary(self) -> Mapping[str, Any]:
        """Token ids by token, or the bytes of the files that define them; empty without a tokenizer."""
        path = self.folder / "tokenizer.json"
        if path.is_file():
            return {"tokenizer.json": _token_ids(_read_json(path))}
        names = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt")
        return {name: (self.folder / name).read_bytes() for name in names if (self.folder / name).is_file()}


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint and check its files against its index. Raises DataError naming the file at fault."""
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise DataError(f"{folder}: an adapter, not a whole model; merge it into its base model first")
        raise DataError(f"{folder}: no config.json here; expected the folder of a Hugging Face checkpoint")
    config = _read_json(folder / "config.json")
    index, single = folder / INDEX, folder / SINGLE
    if index.is_file():
        return Checkpoint(folder, config, _sharded_entries(folder, index))
    if single.is_file():
        return Checkpoint(folder, config, _entries(single))
    if pickles := sorted(folder.glob("pytorch_model*.bin")):
        raise DataError(
            f"{pickles[0]}: pickled weights can run code when they are read, so we do not; convert the "
            "checkpoint with transformers (from_pretrained, then save_pretrained), which writes safetensors"
        )
    raise DataError(f"{folder}: no weights here; expected {SINGLE}, or shards with {INDEX}")


def _sharded_entries(folder: Path, index: Path) -> dict[str, Entry]:
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise DataError(f"{index}: no 'weight_map' in it; expected the index of a sharded checkpoint")
    entries: dict[str, Entry] = {}
    for file in sorted(set(weight_map.values())):
        path = folder / file
        if path.parent != folder or not path.is_file():
            raise DataError(f"{path}: a shard that {INDEX} names is missing; fetch or save the checkpoint again")
        found = _entries(path)
        listed = {name for name, place in weight_map.items() if place == file}
        if absent := sorted(listed - set(found)):
            raise DataError(f"{path}: no tensor '{absent[0]}' in it, though {INDEX} says so; save the checkpoint again")
        if unlisted := sorted(set(found) - listed):
            raise DataError(f"{path}: {INDEX} does not list its tensor '{unlisted[0]}'; save the checkpoint again")
        entries |= found
    return entries


def _entries(path: Path) -> dict[str, Entry]:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return {name: Entry(file, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a whole safetensors file ({error}); fetch or save the checkpoint again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object")
    return content


def _token_ids(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # unigram: [token, score] in order of id
        vocabulary = {entry[0]: position for position, entry in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in tokenizer.get("added_tokens", ())}}
