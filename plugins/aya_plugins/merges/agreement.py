"""Whether checkpoints can be merged: same tensors, shapes and vocabulary, and weights that mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aya_core.api import DataError
from aya_plugins.merges.checkpoint import FLOATS, INTEGERS, Checkpoint

_SAMPLE = 1024
"""Values compared first, before two tensors are compared whole."""

HARMLESS = frozenset({
    "_name_or_path", "architectures", "dtype", "initializer_range", "tie_word_embeddings", "torch_dtype",
    "transformers_version", "use_cache",
})  # fmt: skip
"""Settings in config.json that may differ between models: none changes what the same weights compute."""


@dataclass(frozen=True)
class Sources:
    """Where each output tensor comes from.

    renamed: for a checkpoint's folder, output names that are stored there under the name of a twin.
    tied: output tensors that are copies of another in every model, with the name of that other.
    """

    renamed: Mapping[Any, Mapping[str, str]]
    tied: Mapping[str, str]

    def of(self, checkpoint: Checkpoint, name: str) -> str:
        """Name the tensor of a checkpoint that stands for an output tensor."""
        return self.renamed[checkpoint.folder].get(name, name)


def agree(donor: Checkpoint, checkpoints: Sequence[Checkpoint]) -> Sources:
    """Check that checkpoints can be merged into one with the donor's tensors. Raises DataError if not."""
    for checkpoint in checkpoints:
        _check_dtypes(checkpoint)
        _check_vocabulary(donor, checkpoint)
        _check_config(donor, checkpoint)
    renamed = {checkpoint.folder: _match_names(donor, checkpoint) for checkpoint in checkpoints}
    for checkpoint in checkpoints:
        _check_shapes(donor, checkpoint, renamed[checkpoint.folder])
    return Sources(renamed, _tied_everywhere(donor, checkpoints, renamed))


def _check_dtypes(checkpoint: Checkpoint) -> None:
    for name, entry in checkpoint.entries.items():
        if entry.dtype not in (*FLOATS, *INTEGERS):
            remedy = "convert it to float32" if entry.dtype == "F64" else "merge the model it was quantised from"
            raise DataError(
                f"model '{checkpoint.name}': tensor '{name}' has dtype {entry.dtype}, cannot merge it; {remedy}"
            )


def _check_vocabulary(donor: Checkpoint, other: Checkpoint) -> None:
    remedy = "models of different vocabularies cannot be merged yet; start all of them from one model"
    sizes = [checkpoint.config.get("vocab_size") for checkpoint in (donor, other)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise DataError(f"'{donor.name}' has {sizes[0]} tokens and '{other.name}' has {sizes[1]}; {remedy}")
    for file in sorted(set(donor.vocabulary) & set(other.vocabulary)):
        ours, theirs = donor.vocabulary[file], other.vocabulary[file]
        if ours == theirs:
            continue
        detail = ""
        if isinstance(ours, dict):
            token = min(token for token in {**ours, **theirs} if ours.get(token) != theirs.get(token))
            detail = f" (token {token!r} is {ours.get(token, 'absent')} and {theirs.get(token, 'absent')})"
        raise DataError(f"{file} differs between '{donor.name}' and '{other.name}'{detail}; {remedy}")


def _check_config(donor: Checkpoint, other: Checkpoint) -> None:
    for key in sorted(set(donor.config) & set(other.config) - HARMLESS):
        ours, theirs = donor.config[key], other.config[key]
        if ours != theirs and not key.startswith("_") and not key.endswith(("_token_id", "dropout", "_pdrop")):
            raise DataError(
                f"config.json: {key} is {ours!r} in '{donor.name}' and {theirs!r} in '{other.name}'; "
                "the same weights mean different things there; merge models of one architecture"
            )


def _match_names(donor: Checkpoint, other: Checkpoint) -> dict[str, str]:
    """Find every tensor of the donor in another checkpoint, and the reverse.

    A tied copy may be missing on either side; return the names that are to be read under that of their twin.
    """
    renamed: dict[str, str] = {}
    only_donor, only_other = [], []
    for name in sorted(set(donor.entries) - set(other.entries)):
        if (twin := _twin(donor, name, set(other.entries))) is None:
            only_donor.append(name)
        else:
            renamed[name] = twin
    for name in sorted(set(other.entries) - set(donor.entries)):
        if _twin(other, name, set(donor.entries)) is None:
            only_other.append(name)
    if only_donor or only_other:
        only = [(donor.name, only_donor), (other.name, only_other)]
        lists = "; ".join(f"only '{model}' has {_some(names)}" for model, names in only if names)
        raise DataError(f"'{donor.name}' and '{other.name}' do not have the same tensors: {lists}")
    return renamed


def _check_shapes(donor: Checkpoint, other: Checkpoint, renamed: Mapping[str, str]) -> None:
    for name, entry in donor.entries.items():
        theirs = other.entries[renamed.get(name, name)]
        if theirs.shape != entry.shape:
            raise DataError(
                f"tensor '{name}' has shape {list(entry.shape)} in '{donor.name}' "
                f"and {list(theirs.shape)} in '{other.name}'"
            )
        if (theirs.dtype in FLOATS) != (entry.dtype in FLOATS):
            raise DataError(f"tensor '{name}' is {entry.dtype} in '{donor.name}' and {theirs.dtype} in '{other.name}'")


def _tied_everywhere(
    donor: Checkpoint, checkpoints: Sequence[Checkpoint], renamed: Mapping[Any, Mapping[str, str]]
) -> dict[str, str]:
    """Find tables as long as the vocabulary that are copies of another in every checkpoint."""
    size = donor.config.get("vocab_size")
    tables = sorted(name for name, entry in donor.entries.items() if len(entry.shape) == 2 and entry.shape[0] == size)
    tied: dict[str, str] = {}
    for position, name in enumerate(tables):
        for first in tables[:position]:
            if first not in tied and all(
                _equal(checkpoint, *(renamed[checkpoint.folder].get(table, table) for table in (first, name)))
                for checkpoint in checkpoints
            ):
                tied[name] = first
                break
    return tied


def _twin(checkpoint: Checkpoint, name: str, among: set[str]) -> str | None:
    """Name another tensor that has the same values, as tied weights have."""
    names = sorted(set(checkpoint.entries) & among - {name})
    return next((other for other in names if _equal(checkpoint, name, other)), None)


def _equal(checkpoint: Checkpoint, a: str, b: str) -> bool:
    import torch

    if a == b:
        return True
    if checkpoint.entries[a][1:] != checkpoint.entries[b][1:]:
        return False
    x, y = (checkpoint.read(name).reshape(-1) for name in (a, b))
    return torch.equal(x[:_SAMPLE], y[:_SAMPLE]) and torch.equal(x, y)


def _some(names: Sequence[str], shown: int = 8) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(f"'{name}'" for name in names[:shown]) + more
