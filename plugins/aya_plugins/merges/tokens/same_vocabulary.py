"""Whether all models of a merge have one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from aya_core.api import DataError
from aya_plugins.merges.tokens.token_ids import vocabulary_rows
from aya_plugins.merges.tokens.tokenizer import read_tokenizer, slow_files

_REMEDY = "say whose tokens the merge is to have (tokenizer: union, base, or a folder), to match rows by token"


class Model(Protocol):
    """What is asked of a checkpoint here."""

    @property
    def name(self) -> str:
        """Its name in messages and settings."""

    @property
    def folder(self) -> Path:
        """Where its files are."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config.json."""


def check_same(models: Sequence[Model], donor: int) -> None:
    """Check that all models have as many rows as the donor, and the same token in each. Raises DataError if not."""
    ours, size = models[donor], vocabulary_rows(models[donor].config)
    for other in models:
        theirs = vocabulary_rows(other.config)
        if None not in (size, theirs) and size != theirs:
            raise DataError(
                f"config.json: vocab_size is {size} in '{ours.name}' and {theirs} in '{other.name}'; {_REMEDY}"
            )
        if (written := _bytes(ours)) is not None and written == _bytes(other):
            continue
        ids, their_ids = (_ids_with_rows(model, size) for model in (ours, other))
        if ids is None or their_ids is None:
            _check_same_slow(ours, other)
        elif ids != their_ids:
            token = min(token for token in {**ids, **their_ids} if ids.get(token) != their_ids.get(token))
            raise DataError(
                f"tokenizer.json differs between '{ours.name}' and '{other.name}' (token {token!r} is "
                f"{ids.get(token, 'absent')} and {their_ids.get(token, 'absent')}); {_REMEDY}"
            )


def _check_same_slow(ours: Model, other: Model) -> None:
    mine, theirs = slow_files(ours.folder), slow_files(other.folder)
    for name in sorted(set(mine) & set(theirs)):
        if mine[name] != theirs[name]:
            raise DataError(
                f"{name} differs between '{ours.name}' and '{other.name}'; to match rows by token, both need a "
                "tokenizer.json: load them with transformers' AutoTokenizer and save_pretrained, then " + _REMEDY
            )


def _ids_with_rows(model: Model, size: int | None) -> Mapping[str, int] | None:
    tokenizer = read_tokenizer(model.folder)
    if tokenizer is None:
        return None
    return {token: index for token, index in tokenizer.tokens.items() if size is None or index < size}


def _bytes(model: Model) -> bytes | None:
    path = model.folder / "tokenizer.json"
    return path.read_bytes() if path.is_file() else None


def are_one_slow_tokenizer(models: Sequence[Model]) -> bool:
    """Whether all models have the same slow tokenizer, to the byte, and as many rows."""
    keys = [(_bytes(model), slow_files(model.folder), vocabulary_rows(model.config)) for model in models]
    return keys[0][0] is None and bool(keys[0][1]) and all(key == keys[0] for key in keys)
