"""Whether checkpoints can be merged: the same tensors, of dtypes that can be merged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aya_core.api import DataError
from aya_plugins.merges.configs.meaning import ties
from aya_plugins.merges.files.checkpoint import FLOATS, INTEGERS, Checkpoint, Stored
from aya_plugins.merges.runtime.layers import layer_of
from aya_plugins.merges.tokens.token_ids import vocabulary_rows

_SAMPLE = 1024
"""Values compared first, before two tensors are compared whole."""

_HEAD = re.compile(r"(^|[._])(lm_head|head|embed_out|output|output_layer|unembed|proj_out)\.weight$")


def check_dtypes(checkpoint: Checkpoint) -> None:
    """Refuse tensors of a dtype that cannot be merged. Raises DataError."""
    for name, entry in checkpoint.entries.items():
        if entry.dtype not in (*FLOATS, *INTEGERS):
            remedy = "convert it to float32" if entry.dtype == "F64" else "merge the model it was quantized from"
            raise DataError(
                f"model '{checkpoint.name}': tensor '{name}' has dtype {entry.dtype}, cannot merge it; {remedy}"
            )


class Matched(NamedTuple):
    """How the tensors of two checkpoints go together.

    renamed: names of the donor's that are read under that of their twin in the other. heads: tensors that only the other has,
    because the donor's head is tied to its embeddings and the other's is not.
    """

    renamed: Mapping[str, str]
    heads: tuple[str, ...]


def match_names(donor: Checkpoint, other: Checkpoint) -> Matched:
    """Find every tensor of the donor in another checkpoint, and the reverse.

    A tied copy may be missing on either side: one that is stored and equal to its twin, or the head of a model whose
    config.json ties it to the embeddings. Raises DataError that lists the difference.
    """
    renamed: dict[str, str] = {}
    only_donor: list[str] = []
    only_other: list[str] = []
    heads: list[str] = []
    for name in sorted(set(donor.entries) - set(other.entries)):
        twin = _twin(donor, name, set(other.entries)) or tied_to(other, name)
        if twin is None:
            only_donor.append(name)
        else:
            renamed[name] = twin
    for name in sorted(set(other.entries) - set(donor.entries)):
        if _twin(other, name, set(donor.entries)) is None:
            (only_other if tied_to(donor, name) is None else heads).append(name)
    if only_donor or only_other:
        only = [(donor.name, only_donor), (other.name, only_other)]
        lists = "; ".join(f"only '{model}' has {some(names)}" for model, names in only if names)
        raise DataError(f"'{donor.name}' and '{other.name}' do not have the same tensors: {lists}")
    return Matched(renamed, tuple(heads))


def tied_to(checkpoint: Checkpoint, head: str) -> str | None:
    """Name the embeddings that stand in for a head which a checkpoint does not store; None where it has to.

    config.json must tie them, and there must be one table of embeddings.
    """
    if head in checkpoint.entries or not is_head(head):
        return None
    tables = [name for name in vocabulary_matrices(checkpoint) if not is_head(name)]
    return tables[0] if len(tables) == 1 and ties(checkpoint.config) else None


def has_own_head(checkpoint: Checkpoint, tied: Mapping[str, str], heads: Sequence[str]) -> bool:
    """Whether a merge has a head that is no copy of its embeddings. tied: copies by name. heads: more tensors than the donor's."""
    tables = [*vocabulary_matrices(checkpoint), *heads]
    linked = {*tied, *tied.values()}
    return len(tables) > 1 and any(is_head(name) and name not in linked for name in tables)


def is_head(name: str) -> bool:
    """Whether a tensor is the last matrix of a language model, told from its name."""
    return layer_of(name) is None and _HEAD.search(name) is not None


def vocabulary_matrices(checkpoint: Checkpoint) -> list[str]:
    """List the matrices with a row for each token, sorted by name."""
    size = vocabulary_rows(checkpoint.config)
    return sorted(
        name for name, entry in checkpoint.entries.items() if len(entry.shape) == 2 and entry.shape[0] == size
    )


def tied_everywhere(donor: Checkpoint, others: Sequence[tuple[Checkpoint, Mapping[str, str]]]) -> dict[str, str]:
    """Find tables as long as the vocabulary that are copies of another in every checkpoint.

    others: each with the names that are read there under that of their twin. Returns the other's name by name.
    """
    tables = vocabulary_matrices(donor)
    tied: dict[str, str] = {}
    for position, name in enumerate(tables):
        for first in tables[:position]:
            if first not in tied and all(
                are_copies(checkpoint, *(renamed.get(table, table) for table in (first, name)))
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
    return next((other for other in names if are_copies(checkpoint, name, other)), None)


def are_copies(checkpoint: Checkpoint, a: str, b: str) -> bool:
    """Whether two tensors of a checkpoint hold the same, or are one."""
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
