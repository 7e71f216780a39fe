"""Open a LoRA adapter as a model: its base's tensors, with what the adapter changes applied as they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.api import DataError
from aya_plugins.merges.adapters.lora import LoraSource, LowRank, ShiftedSource, StoredSource
from aya_plugins.merges.adapters.settings import LoraSettings, adapter_base, lora_settings
from aya_plugins.merges.files.pickled import dtype_name, pickled_tensors
from aya_plugins.merges.files.sources import Source

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["WEIGHTS", "Adapter", "adapter_base", "open_adapter"]

WEIGHTS, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."
HEADS = ("lm_head", "embed_out")
EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings")
BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}

PARTS = (
    "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
)  # fmt: skip
"""Tensors that a LoRA adds to a module; every other name is a parameter of the module itself."""

_LORA_PART = re.compile(rf"(?P<module>.+)\.(?P<part>{'|'.join(map(re.escape, PARTS))})(\.weight)?")
_PARAMETER = re.compile(r"(?P<module>.+?)(\.base_layer|\.modules_to_save)?\.(?P<part>[^.]+)")


@dataclass(frozen=True)
class Stored:
    """A tensor in the adapter's file, read when it is asked for."""

    file: Any
    name: str
    shape: tuple[int, ...]
    bytes: int

    def values(self) -> Tensor:
        """Map it, in the dtype it is stored in."""
        tensor: Tensor = self.file.get_tensor(self.name)
        return tensor

    def floats(self) -> Tensor:
        """Copy it to memory in float32."""
        return _floats(self.values())


@dataclass
class Change:
    """What an adapter does to one tensor: bring it whole, add a product, add scaling * shift; in this order."""

    whole: Stored | None = None
    low_rank: LowRank | None = None
    shift: Stored | None = None
    scaling: float = 1.0

    def applied(self, source: Source) -> Source:
        """Give the source of the changed tensor."""
        if (whole := self.whole) is not None:
            source = StoredSource(source, lambda: whole.values().flatten(), whole.bytes)
        if self.low_rank is not None:
            source = LoraSource(source, self.low_rank)
        if self.shift is not None:
            source = ShiftedSource(source, self.shift.floats, self.scaling, self.shift.bytes)
        return source


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter that fits its base.

    weights: its file. changes: by the name of the base's tensor. notes: what its user should know.
    """

    weights: Path
    changes: Mapping[str, Change]
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.weights.parent

    @property
    def files(self) -> tuple[Path, Path]:
        """Its weights and its settings."""
        return self.weights, self.weights.with_name("adapter_config.json")

    def source(self, name: str, base: Source) -> Source:
        """Give the source of a tensor of the adapted model; the base's own where the adapter changes nothing."""
        change = self.changes.get(name)
        return base if change is None else change.applied(base)


def open_adapter(folder: Path, names: Mapping[str, tuple[int, ...]]) -> Adapter:
    """Open an adapter as peft saves it, and fit every tensor of it to a tensor of its base.

    The adapted weights are those of peft's `merge_and_unload` in float32: plain LoRA, rank-stabilized LoRA and DoRA of
    linear layers (Conv1D too) and of embeddings, whole modules (`modules_to_save`), and biases.

    names: the shapes of the base checkpoint's tensors. A module of the adapter may differ from them by the components
    in front, which some checkpoints leave out: `transformer.h.0` and `h.0`.

    Raises DataError that names the file, and the setting or the tensors that do not fit.
    """
    settings = lora_settings(folder)
    path = _weights(folder)
    fitting = _Fitting(path, settings, names)
    modules, unknown = _modules(path, _open(path))
    notes = []
    for module, parts in modules.items():
        if _leaf(module) in HEADS and fitting.find(f"{module}.weight") is None:
            notes.append(fitting.check_tied_head(module, modules))
        else:
            unknown += fitting.fit(module, parts)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise DataError(
            f"{path}: the base model has no place for {', '.join(unknown[:3])}{more}; expected an adapter of "
            f"a model with tensors such as '{next(iter(names), '')}', as peft saves it"
        )
    if not notes and not any(_leaf(_module(name)) in HEADS for name in names):
        notes += [
            f"'{name}' is the base's output head, too: the adapter changes both, as peft's merge does"
            for name in fitting.changes
            if _leaf(_module(name)) in EMBEDDINGS
        ]
    return Adapter(path, fitting.changes, tuple(notes))


@dataclass
class _Fitting:
    path: Path
    settings: LoraSettings
    names: Mapping[str, tuple[int, ...]]
    changes: dict[str, Change] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Find the base's tensor of this name, or the only one that differs by leading components."""
        shorter = name.partition(".")[2]
        for candidate in (name, shorter):
            if candidate in self.names:
                return candidate
        longer = [known for known in self.names if known.endswith(f".{name}")]
        return longer[0] if len(longer) == 1 else None

    def fit(self, module: str, parts: Mapping[str, Stored]) -> list[str]:
        """Fit a module's tensors to the base; return the names of those that find no place."""
        unknown = []
        for part, stored in parts.items():
            name = self.find(f"{module}.{_target(part)}")
            if name is None:
                unknown.append(stored.name)
            elif part == "lora_B.bias":
                self._check_shape(stored, name)
                change = self.changes.setdefault(name, Change())
                change.shift, change.scaling = stored, self.settings.scaling(module)
            elif part not in PARTS:
                self._check_shape(stored, name)
                change = self.changes.setdefault(name, Change())
                if change.whole is not None:
                    raise DataError(f"{self.path}: {change.whole.name} and {stored.name} are both the base's '{name}'")
                change.whole = stored
        name = self.find(f"{module}.weight")
        if name is not None and any(part in PARTS for part in parts):
            change = self.changes.setdefault(name, Change())
            if change.low_rank is not None:
                raise DataError(
                    f"{self.path}: two LoRA of one tensor, the base's '{name}'; the second is of '{module}'"
                )
            change.low_rank = self._low_rank(module, parts, self.names[name])
        return unknown

    def check_tied_head(self, module: str, modules: Mapping[str, Mapping[str, Stored]]) -> str:
        """Return a note if the adapter does to a head, which the base ties, what it does to the embeddings; else raise."""
        embeddings = next((name for name in modules if _leaf(name) in EMBEDDINGS), None)
        head, tied = modules[module], modules.get(embeddings or "", {})
        mirrored = {"lora_A.weight": "lora_embedding_B", "lora_B.weight": "lora_embedding_A"}
        is_same = embeddings is not None and {mirrored.get(part, part) for part in head} == set(tied)
        is_same = is_same and self.settings.scaling(module) == self.settings.scaling(str(embeddings))
        if not is_same or not all(_equal(head[part], tied[mirrored.get(part, part)]) for part in head):
            raise DataError(
                f"{self.path}: it changes '{module}', which the base ties to its embeddings, and not both in the same way; "
                "a checkpoint with tied weights cannot hold that. Train it with ensure_weight_tying, or untie the base"
            )
        return f"'{module}' is tied to '{embeddings}' in the base; the adapter changes both in the same way"

    def _low_rank(self, module: str, parts: Mapping[str, Stored], shape: tuple[int, ...]) -> LowRank:
        is_embedding = "lora_embedding_A" in parts or "lora_embedding_B" in parts
        names = ("lora_embedding_A", "lora_embedding_B") if is_embedding else ("lora_A.weight", "lora_B.weight")
        if absent := [name for name in names if name not in parts]:
            raise DataError(f"{self.path}: '{module}' has no {absent[0]} beside {', '.join(parts)}; save it again")
        down, up = parts[names[0]], parts[names[1]]
        magnitude = parts.get("lora_magnitude_vector")
        if len(down.shape) != 2 or len(up.shape) != 2 or down.shape[0] != up.shape[1]:
            raise DataError(
                f"{self.path}: {down.name} of shape {down.shape} and {up.name} of shape {up.shape} have no rank in common; "
                "expected (rank, inputs) and (outputs, rank)"
            )
        rank, expected = down.shape[0], self.settings.rank(module)
        if rank != expected:
            raise DataError(
                f"{self.path}: {down.name} has rank {rank}, but adapter_config.json says {expected}; the two do not belong "
                "together"
            )
        inputs, outputs = down.shape[1], up.shape[0]
        by_rows, by_columns = (outputs, inputs) == shape, (inputs, outputs) == shape
        if not by_rows and not by_columns:
            raise DataError(
                f"{self.path}: the product of {up.name} and {down.name} has shape ({outputs}, {inputs}), but the base's "
                f"tensor has {shape}; is it an adapter of another model, or of one whose vocabulary was resized?"
            )
        if (magnitude is not None) != self.settings.use_dora:
            says = "no lora_magnitude_vector" if magnitude is None else "a lora_magnitude_vector"
            raise DataError(
                f"{self.path}: '{module}' has {says}, but adapter_config.json says use_dora: {self.settings.use_dora}"
            )
        if magnitude is not None and magnitude.shape != (outputs,):
            raise DataError(f"{self.path}: {magnitude.name} has shape {magnitude.shape}; expected ({outputs},)")
        rows = by_rows and not is_embedding and not (by_columns and self._is_transposed)
        stored = [part for part in (down, up, magnitude) if part is not None]
        return LowRank(
            left=(lambda first, last: _floats(up.values()[first:last]))
            if rows
            else (lambda first, last: _floats(down.values()[:, first:last].T)),
            right=down.floats if rows else lambda: _floats(up.values().T),
            scaling=self.settings.scaling(module),
            magnitude=None if magnitude is None else magnitude.floats,
            outputs_are_rows=rows,
            bytes=sum(part.bytes for part in stored),
        )

    @property
    def _is_transposed(self) -> bool:
        """Whether square matrices are stored (in, out): peft's flag, or a base with others whose bias says so.

        The flag alone is not enough: peft stores what held for the last module it touched.
        """
        return self.settings.fan_in_fan_out or any(
            len(shape) == 2 and shape[0] != shape[1] and self.names.get(f"{name[:-7]}.bias") == shape[1:]
            for name, shape in self.names.items()
            if name.endswith(".weight")
        )

    def _check_shape(self, stored: Stored, name: str) -> None:
        if stored.shape != self.names[name]:
            raise DataError(
                f"{self.path}: {stored.name} has shape {stored.shape}, but the base's '{name}' has {self.names[name]}; is "
                "it an adapter of another model, or of one whose vocabulary was resized?"
            )


def _modules(path: Path, stored: Mapping[str, Stored]) -> tuple[dict[str, dict[str, Stored]], list[str]]:
    """Group tensors by module and by name within it; list those that are named as peft names none."""
    modules: dict[str, dict[str, Stored]] = {}
    unknown = []
    for key, tensor in stored.items():
        inner = key.removeprefix(PREFIX)
        match = _LORA_PART.fullmatch(inner) or _PARAMETER.fullmatch(inner)
        if inner == key or match is None:
            unknown.append(key)
            continue
        other = modules.setdefault(match["module"], {}).setdefault(match["part"], tensor)
        if other is not tensor:
            raise DataError(f"{path}: {other.name} and {key} are the same tensor of '{match['module']}'")
    return modules, unknown


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(module: str) -> str:
    return module.rpartition(".")[2]


def _target(part: str) -> str:
    if part == "lora_B.bias":
        return "bias"
    return "weight" if part in PARTS else part


def _weights(folder: Path) -> Path:
    """Find the file of an adapter's weights. Raises DataError where there is none."""
    found = [folder / name for name in (WEIGHTS, PICKLED) if (folder / name).is_file()]
    if not found:
        raise DataError(f"{folder}: no {WEIGHTS} here; expected the folder of a LoRA adapter, as peft saves it")
    return found[0]


class _Pickled:
    """The tensors of a `.bin` file, asked for as safetensors are."""

    def __init__(self, path: Path) -> None:
        self._tensors = pickled_tensors(path)

    def keys(self) -> list[str]:
        return list(self._tensors)

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name]

    def get_slice(self, name: str) -> _Pickled.Slice:
        return _Pickled.Slice(self._tensors[name])

    @dataclass(frozen=True)
    class Slice:
        tensor: Tensor

        def get_shape(self) -> tuple[int, ...]:
            return tuple(self.tensor.shape)

        def get_dtype(self) -> str:
            return dtype_name(self.tensor)


def _open(path: Path) -> dict[str, Stored]:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = _Pickled(path) if path.name == PICKLED else safe_open(path, framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a whole safetensors file ({error}); fetch or save the adapter again") from None
    if not slices:
        raise DataError(f"{path}: no tensors in it; save the adapter again")
    stored = {}
    for name, part in slices.items():
        shape, dtype = tuple(part.get_shape()), part.get_dtype()
        if dtype not in BYTES:
            raise DataError(f"{path}: {name} is stored as {dtype}; expected one of {', '.join(BYTES)}")
        count = 1
        for length in shape:
            count *= length
        stored[name] = Stored(file, name, shape, count * BYTES[dtype])
    return stored


def _floats(tensor: Tensor) -> Tensor:
    import torch

    # A copy of its own, contiguous: how a product rounds may depend on where its factors lie in memory.
    return tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _equal(one: Stored, other: Stored) -> bool:
    import torch

    return torch.equal(one.floats(), other.floats() if one.shape == other.shape else other.floats().T)
