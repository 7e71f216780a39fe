"""Make a LoRA adapter of the difference between a model and its base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aya_core.api import DataError, LoraJob, write_file
from aya_plugins.merges.adapters.adapter import EMBEDDINGS, HEADS, PREFIX, WEIGHTS
from aya_plugins.merges.files.checkpoint import FLOATS
from aya_plugins.merges.files.sources import Source

if TYPE_CHECKING:
    from torch import Tensor

_NEGLIGIBLE = 1e-7
"""Singular values below this share of the largest are rounding errors of float32."""


@dataclass
class _Adapter:
    """What is found of an adapter. squares, kept: of all differences of low rank, and of what their adapters reproduce."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    whole: dict[str, list[str]] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    squares: float = 0.0
    kept: float = 0.0


def extract_lora(
    pairs: Mapping[str, tuple[Source, Source]],
    job: LoraJob,
    *,
    tied: Mapping[str, str],
    ties_head: bool,
    notes: Sequence[str],
) -> Mapping[str, Any]:
    """Write an adapter as peft saves it, and return the account.

    The difference D of each matrix becomes B A with singular values of D in order of size: no other product of that rank is
    nearer to D (Eckart and Young 1936). The singular values are shared between both factors, and lora_alpha equals r, so that
    the scaling is 1. Embeddings, heads and norms that differ are stored whole (`modules_to_save`), as are biases.

    pairs: each tensor of the model and of its base, by name. tied: tensors that are copies of another. ties_head:
    whether the base's head is its embeddings.
    notes: to be told. Raises DataError where nothing differs, or where what differs has no place in a LoRA.
    """
    transposed = _stores_transposed(pairs)
    found = _Adapter()
    names = [name for name in pairs if name not in tied]
    for number, name in enumerate(names):
        model, other = pairs[name]
        if model.dtype in FLOATS:
            _take(found, name, model, other, job, transposed=transposed, has_lora=_is_matrix(pairs, name))
        job.report(number + 1, len(names))
    if not found.ranks:
        which = "weights" if not found.tensors else "matrices, and a LoRA is of matrices"
        raise DataError(f"'{job.model.name}' and '{job.base.name}' have the same {which}; there is nothing to extract")
    return _write(found, job, ties_head=ties_head, notes=notes, transposed=transposed, every=names)


def _take(
    found: _Adapter, name: str, model: Source, base: Source, job: LoraJob, *, transposed: bool, has_lora: bool
) -> None:
    import torch

    values = 1
    for length in model.shape:
        values *= length
    ours, theirs = (source.read(0, values).to(job.device) for source in (model, base))
    module, _, part = name.rpartition(".")
    if torch.equal(ours, theirs):
        found.unchanged.append(name)
        return
    difference = ours - theirs
    if not torch.isfinite(difference.sum()) and not torch.isfinite(difference).all():
        raise DataError(f"tensor '{name}' has NaN or infinite values; a difference with them has no singular values")
    if part == "weight" and has_lora:
        matrix = difference.reshape(model.shape)
        up, down, square, kept = low_rank(matrix.T if transposed else matrix, job.rank, job.threshold)
        found.tensors[f"{PREFIX}{module}.lora_A.weight"] = down.cpu()
        found.tensors[f"{PREFIX}{module}.lora_B.weight"] = up.cpu()
        found.ranks[module] = len(down)
        found.squares += square
        found.kept += kept
    elif part == "bias" and len(model.shape) == 1:
        found.biases.append(name)
        found.tensors[name] = ours.reshape(model.shape).cpu()
    elif part == "weight" and len(model.shape) <= 2:
        found.whole.setdefault(module, []).append(name)
        found.tensors[name] = ours.reshape(model.shape).cpu()
    else:
        raise DataError(
            f"tensor '{name}' of shape {list(model.shape)} differs, and has no place in a LoRA of linear layers; such adapters "
            "cannot be extracted"
        )


def low_rank(difference: Tensor, most: int, threshold: float) -> tuple[Tensor, Tensor, float, float]:
    """Factor a matrix D of shape (outputs, inputs) into B of shape (outputs, rank) and A of shape (rank, inputs).

    Returns B, A, and the sums of squares of D and of B A.
    """
    import torch

    # The eigenvectors of the smaller of D D' and D' D, in float64: several times faster than the SVD of a wide matrix.
    wide = difference.shape[0] <= difference.shape[1]
    rows = (difference if wide else difference.T).double()
    squares, vectors = torch.linalg.eigh(rows @ rows.T)
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)
    values = squares.sqrt()
    rank = max(1, min(most, int((values > max(threshold, _NEGLIGIBLE) * values[0]).sum())))
    shared = values[:rank].sqrt()
    left = vectors[:, :rank] * shared
    right = (vectors[:, :rank].T @ rows) / shared[:, None]
    up, down = (left, right) if wide else (right.T, left.T)
    return up.float().contiguous(), down.float().contiguous(), squares.sum().item(), squares[:rank].sum().item()


def _write(
    found: _Adapter, job: LoraJob, *, ties_head: bool, notes: Sequence[str], transposed: bool, every: Sequence[str]
) -> Mapping[str, Any]:  # fmt: skip
    from safetensors.torch import save_file

    # A bias beside a LoRA is the bias of its base layer; other biases go with their module's weight.
    tensors = {name: value for name, value in found.tensors.items() if name.startswith(PREFIX)}
    for name in found.biases:
        module = name.rpartition(".")[0]
        if module not in found.ranks:
            found.whole.setdefault(module, []).append(name)
        else:
            tensors[f"{PREFIX}{module}.base_layer.bias"] = found.tensors[name]
    for names in found.whole.values():
        tensors |= {f"{PREFIX}{name}": found.tensors[name] for name in names}
    tables = [module for module in found.whole if _leaf(module) in EMBEDDINGS] if ties_head else []
    if tables:  # peft replaces the embeddings and leaves the head as it was, unless the head is stored, too
        tensors[f"{PREFIX}{HEADS[0]}.weight"] = found.tensors[f"{tables[0]}.weight"].clone()
        found.whole[HEADS[0]] = []
    rank = max(found.ranks.values(), default=job.rank)
    others = {module: of for module, of in found.ranks.items() if of != rank}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": job.base_name,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": _patterns(found.ranks, every),
        "modules_to_save": _patterns(found.whole, every) or None,
        "bias": "lora_only" if any(".base_layer.bias" in name for name in tensors) else "none",
        "fan_in_fan_out": transposed,
        "lora_dropout": 0.0,
        "inference_mode": True,
    }
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, job.out / WEIGHTS, metadata={"format": "pt"}
    )
    write_file(job.out / "adapter_config.json", json.dumps(config, indent=2) + "\n")
    account = {
        "matrices": len(found.ranks),
        "rank": rank,
        "reproduced": round(found.kept / found.squares, 6) if found.squares else 1.0,
        "stored_whole": len(tensors) - 2 * len(found.ranks),
        "unchanged": len(found.unchanged),
        "parameters": sum(value.numel() for value in tensors.values()),
        "notes": list(notes),
    }
    write_file(job.out / "README.md", _card(job, account))
    return account


def _card(job: LoraJob, account: Mapping[str, Any]) -> str:
    return (
        "---\nlibrary_name: peft\ntags: [lora]\n---\n\n"
        f"# The difference of '{job.model.name}' from '{job.base.name}' as a LoRA\n\n"
        f"{account['matrices']} matrices of rank {account['rank']} or less, which reproduce {account['reproduced']:.2%} of the sum of "
        f"squares of their differences; {account['stored_whole']} tensors are stored whole, {account['unchanged']} do not differ.\n"
    )


def _patterns(modules: Mapping[str, Any], every: Sequence[str]) -> list[str]:
    """Name modules as peft looks for them: by the last part where all of that name are meant, else whole."""
    wanted: dict[str, set[str]] = {}
    for module in modules:
        wanted.setdefault(_leaf(module), set()).add(module)
    known: dict[str, set[str]] = {}
    for name in every:
        module = name.rpartition(".")[0]
        known.setdefault(_leaf(module), set()).add(module)
    return sorted(pattern for leaf, own in wanted.items() for pattern in ([leaf] if own == known.get(leaf) else own))


def _is_matrix(pairs: Mapping[str, tuple[Source, Source]], name: str) -> bool:
    return len(pairs[name][0].shape) == 2 and _leaf(name.rpartition(".")[0]) not in (*HEADS, *EMBEDDINGS, "wpe")


def _stores_transposed(pairs: Mapping[str, tuple[Source, Source]]) -> bool:
    """Whether matrices are stored (inputs, outputs), as GPT-2's are: some bias is as long as a row of its weight, not a column."""
    return any(
        len(shape) == 2
        and shape[0] != shape[1]
        and f"{name[:-7]}.bias" in pairs
        and pairs[f"{name[:-7]}.bias"][0].shape == shape[1:]
        for name, shape in ((name, source.shape) for name, (source, _) in pairs.items() if name.endswith(".weight"))
    )


def _leaf(module: str) -> str:
    return module.rpartition(".")[2]
