"""Whether checkpoints can be merged: same tensors, shapes and vocabulary, and weights that mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aya_core.api import DataError
from aya_plugins.merges.files.checkpoint import FLOATS, INTEGERS, Checkpoint, Stored

_SAMPLE = 1024
"""Values compared first, before two tensors are compared whole."""

HARMLESS = frozenset({
    "_name_or_path", "architectures", "dtype", "initializer_range", "tie_word_embeddings", "torch_dtype",
    "transformers_version", "use_cache",
})  # fmt: skip
"""Settings in config.json that may differ between models: none changes what the same weights compute."""

DEPTHS = frozenset({"num_hidden_layers", "n_layer", "n_layers", "num_layers", "max_window_layers"})
"""Settings in config.json that count layers. They may differ where layers are picked; so may lists of that length."""


def check_dtypes(checkpoint: Checkpoint) -> None:
    """Refuse tensors of a dtype that cannot be merged. Raises DataError."""
    for name, entry in checkpoint.entries.items():
        if entry.dtype not in (*FLOATS, *INTEGERS):
            remedy = "convert it to float32" if entry.dtype == "F64" else "merge the model it was quantized from"
            raise DataError(
                f"model '{checkpoint.name}': tensor '{name}' has dtype {entry.dtype}, cannot merge it; {remedy}"
            )


def check_config(donor: Checkpoint, other: Checkpoint, *, ignore: frozenset[str] = frozenset()) -> None:
    """Refuse models whose config.json says that the same weights mean different things. Raises DataError."""
    for key in sorted(set(donor.config) & set(other.config) - HARMLESS - ignore):
        ours, theirs = donor.config[key], other.config[key]
        if ours != theirs and not key.startswith("_") and not key.endswith(("_token_id", "dropout", "_pdrop")):
            raise DataError(
                f"config.json: {key} is {ours!r} in '{donor.name}' and {theirs!r} in '{other.name}'; "
                "the same weights mean different things there; merge models of one architecture"
            )


def match_names(donor: Checkpoint, other: Checkpoint) -> dict[str, str]:
    """Find every tensor of the donor in another checkpoint, and the reverse.

    A tied copy may be missing on either side; return the names that are to be read under that of their twin. Raises
    DataError that lists the difference.
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
        lists = "; ".join(f"only '{model}' has {some(names)}" for model, names in only if names)
        raise DataError(f"'{donor.name}' and '{other.name}' do not have the same tensors: {lists}")
    return renamed


def tied_everywhere(donor: Checkpoint, others: Sequence[tuple[Checkpoint, Mapping[str, str]]]) -> dict[str, str]:
    """Find tables as long as the vocabulary that are copies of another in every checkpoint.

    others: each with the names that are read there under that of their twin. Returns the other's name by name.
    """
    size = donor.config.get("vocab_size")
    tables = sorted(name for name, entry in donor.entries.items() if len(entry.shape) == 2 and entry.shape[0] == size)
    tied: dict[str, str] = {}
    for position, name in enumerate(tables):
        for first in tables[:position]:
            if first not in tied and all(
                _equal(checkpoint, *(renamed.get(table, table) for table in (first, name)))
                for checkpoint, renamed in [(donor, dict[str, str]()), *others]
            ):
                tied[name] = first
                break
    return tied


def some(names: Sequence[str], shown: int = 8) -> str:
    """List names, not all of very many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(f"'{name}'" for name in names[:shown]) + more


def _twin(checkpoint: Checkpoint, name: str, among: set[str]) -> str | None:
    """Name another tensor that has the same values, as tied weights have."""
    names = sorted(set(checkpoint.entries) & among - {name})
    return next((other for other in names if _equal(checkpoint, name, other)), None)


def _equal(checkpoint: Checkpoint, a: str, b: str) -> bool:
    if a == b:
        return True
    if checkpoint.entries[a][:2] != checkpoint.entries[b][:2]:
        return False
    return same_bytes(checkpoint.source(a), checkpoint.source(b))


def same_bytes(a: Stored, b: Stored) -> bool:
    """Whether two stored tensors of one shape hold the same bytes of the same dtype."""
    if a.dtype != b.dtype:
        return False
    values, start, step = a.entry.values, 0, _SAMPLE
    while start < values:
        stop = min(start + step, values)
        if a.raw(start, stop) != b.raw(start, stop):
            return False
        start, step = stop, 1 << 20
    return True
