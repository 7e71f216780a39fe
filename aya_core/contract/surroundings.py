"""What a strategy is told of the machine and of the models that its settings name, so that it can say that it will not work here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Surroundings:
    """Where a recipe is to run.

    gpus: memory in bytes of each GPU that is visible, 0 where that is unknown; None where nobody can tell how many there are.
    jobs: how many steps run at the same time. models: folders of the models that the settings of the strategy name, by what they
    say; those that an earlier stage makes, and those of the hub that are not downloaded, are not among them.
    """

    gpus: tuple[int, ...] | None = None
    jobs: int = 1
    models: Mapping[str, Path] = field(default_factory=dict)

    def config(self, model: str) -> Mapping[str, Any]:
        """Give the config.json of a model; empty where it is not known."""
        folder = self.models.get(model)
        try:
            found = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
        except (OSError, ValueError):  # what is wrong with it is said when it is read
            return {}
        return found if isinstance(found, dict) else {}

    def weights(self, model: str) -> int | None:
        """Say how many bytes the weights of a model take on disk; None where that is not known."""
        folder = self.models.get(model)
        sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder else []
        return sum(sizes) or None

    def lacks_device(self, device: str) -> str | None:
        """Say that a device of torch's name (`cuda`, `cuda:1`) is not there; None where it is, or nobody can tell."""
        kind, _, index = device.partition(":")
        if kind != "cuda" or (missing := self.lacks_gpus(int(index) + 1 if index.isdigit() else 1)) is None:
            return None
        return f"device '{device}' {missing}"

    def overbooks_gpus(self, each: int) -> str | None:
        """Say that steps which run at the same time use more GPUs than there are; None where they do not, or nobody can tell."""
        if not self.gpus or each < 2 or self.jobs * each <= len(self.gpus):
            return None
        return (
            f"takes {each} GPUs, and with `machine: {{jobs: {self.jobs}}}` so many steps run at the same time on the {len(self.gpus)} "
            "that are visible here; set jobs to 1"
        )

    def lacks_gpus(self, wanted: int) -> str | None:
        """Say that so many GPUs are not there; None where they are, or where nobody can tell."""
        if self.gpus is None or len(self.gpus) >= wanted:
            return None
        few = "none is" if not self.gpus else "1 is" if len(self.gpus) == 1 else f"{len(self.gpus)} are"
        return f"wants {wanted} GPU{'s' * (wanted > 1)}, and {few} visible here"

    def too_large(self, model: str, gpus: int = 1) -> str | None:
        """Say that a model's weights do not fit into the memory of so many GPUs; None where they do, or nobody can tell."""
        size, memory = self.weights(model), sum((self.gpus or ())[:gpus])
        if size is None or not memory or size <= memory:
            return None
        where = "one GPU" if gpus == 1 else f"{gpus} GPUs"
        return f"the weights of '{model}' are {size / 1e9:.0f} GB, and {where} here has {memory / 1e9:.0f} GB"
