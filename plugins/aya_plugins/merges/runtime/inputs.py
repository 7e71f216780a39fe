"""The models of a merge, opened once however many merges they go into."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from aya_core.api import DataError, MergeInput, hub_model, model_folder
from aya_plugins.merges.adapters.adapter import Adapter, adapter_base, open_adapter
from aya_plugins.merges.files.checkpoint import Checkpoint, content_hash, open_checkpoint
from aya_plugins.merges.runtime.planning import Input


class Inputs:
    """Opens models, and keeps the digests of their tensors."""

    def __init__(self) -> None:
        self._opened: dict[tuple[Path, Path | None], tuple[Checkpoint, Adapter | None]] = {}
        self._digests: dict[tuple[int, str], str] = {}

    def open(self, given: MergeInput) -> Input:
        """Open a model. Raises DataError naming the file at fault."""
        _, folder, adapter = with_base(given)
        key = (folder.resolve(), adapter)
        if key not in self._opened:
            known = [checkpoint for (place, _), (checkpoint, _) in self._opened.items() if place == key[0]]
            checkpoint = known[0] if known else open_checkpoint(key[0], given.name)
            shapes = {name: entry.shape for name, entry in checkpoint.entries.items()}
            self._opened[key] = (checkpoint, open_adapter(adapter, shapes) if adapter else None)
        return Input(given.name, *self._opened[key])

    def knows(self, input: Input, name: str) -> bool:
        """Whether a tensor's digest has been taken."""
        return (id(input.checkpoint), name) in self._digests

    def remember(self, input: Input, digests: Mapping[str, str]) -> None:
        """Take over digests of tensors, by name."""
        self._digests.update({(id(input.checkpoint), name): digest for name, digest in digests.items()})

    def digests(self, input: Input, names: Iterable[str]) -> dict[str, str]:
        """Give the digests of tensors, all of them taken."""
        return {name: self._digests[id(input.checkpoint), name] for name in names}

    def content(self, input: Input) -> str:
        """Hash a model by content; all its digests have been taken."""
        entries = input.checkpoint.entries
        weights = content_hash(entries, self.digests(input, entries))
        if input.adapter is None:
            return weights
        return f"{weights}+{hashlib.sha256(input.adapter.files[0].read_bytes()).hexdigest()}"


def with_base(given: MergeInput) -> MergeInput:
    """Say what a model is made of: the folder of an adapter alone means its own base, adapted, be it a folder or a model of the hub.

    Raises DataError where it is neither.
    """
    adapter = given.folder
    if given.adapter or (adapter / "config.json").is_file() or not (adapter / "adapter_config.json").is_file():
        return given
    named, revision = adapter_base(adapter)
    base = (adapter / named).resolve()
    if not base.is_dir() and hub_model(named, without_owner=True) is not None:
        base = model_folder(f"{named}@{revision}" if revision else named, without_owner=True)
    if not base.is_dir():
        raise DataError(
            f"{adapter}: an adapter of '{named}', which is no folder here and no model of the hub; name the folder of that model with it "
            "(in a merge configuration as model+adapter), or set base_model_name_or_path in its adapter_config.json"
        )
    return MergeInput(given.name, base, adapter)
