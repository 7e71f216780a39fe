"""Saves of a training run, from which a killed one resumes."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import DistributedType
from torch import Tensor

from aya_core.api import AyaError, DamageError, file_hash, flush, read_sealed, rename, set_aside, write_sealed

STATE = "state.pt"
PROGRESS = "progress.json"

KEPT = 2
"""Saves, so that one is left where the disk loses the other."""


class Stateful(Protocol):
    """A part of a run beside model and optimizer."""

    def state_dict(self) -> Mapping[str, Any]:
        """What a save holds."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a save."""


@dataclass
class Saves:
    """Saves the state of a run under `work`, one folder a save, flushed to disk and renamed when whole.

    The newest two are kept. Each has the hashes of its files; where the newest is damaged, the one before serves.

    The state is that of what is trained, of the optimizer and of the other parts; which rows come next, the learning rate and
    the random numbers of a step all follow from its number and the seed. A model that every process holds whole is saved by
    the first one, and may be resumed by any number of processes; each process saves its own part of a sharded one.

    failed: saves that could not be written. The last good one is then kept, and training goes on. damaged: saves that were not what
    was written, and are set aside. stopping: says whether the run was told to stop. latest: the last step whose save may be taken up;
    None for any.
    """

    accelerator: Any
    work: Path
    every_seconds: float
    model: Any
    optimizer: Any
    parts: Mapping[str, Stateful] = field(default_factory=dict)
    stopping: Callable[[], bool] = lambda: False
    latest: int | None = None
    last: float = field(default_factory=time.monotonic)
    failed: int = 0
    damaged: int = 0

    def restore(self) -> int:
        """Load the newest save that is what was written. Returns the step to do next, 0 without a save.

        Raises AyaError for a save of a sharded model by another number of processes or in another way.
        """
        if self.accelerator.is_main_process:
            for leftover in self.work.glob("step-*.partial"):
                shutil.rmtree(leftover)
            self._set_damaged_aside()
        self.accelerator.wait_for_everyone()
        newest = self.newest()
        if newest is None:
            return 0
        progress = read_sealed(newest / PROGRESS)
        saved, here = progress["layout"], self._layout
        if saved != here:
            raise AyaError(
                f"{newest}: saved by {_layout_text(saved)}, and this run is of {_layout_text(here)}; a sharded state is taken up by "
                "processes like those that saved it: start as many in the same way, or delete the folder to begin again"
            )
        if self._is_sharded:
            self.accelerator.load_state(str(newest))
        state = torch.load(newest / self._file, map_location="cpu", weights_only=True)
        if not self._is_sharded:
            self._load(state)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(progress["step"])

    def _set_damaged_aside(self) -> None:
        """Find the newest save that is what was written, and rename those after it."""
        found = []
        for save in reversed(self._whole()):
            try:
                _check(save)
                break
            except (DamageError, FileNotFoundError) as error:
                found.append(f"{error}, kept as {set_aside(save)}")
        self.damaged += len(found)
        if found:
            warnings.warn(
                f"saves of this run that cannot be used: {'; '.join(found)}. Training goes on from {self.newest() or 'its beginning'}",
                RuntimeWarning,
                stacklevel=3,
            )

    def newest(self) -> Path | None:
        """The save that a run would resume from."""
        whole = self._whole()
        return whole[-1] if whole else None

    def wanted(self) -> tuple[bool, bool]:
        """Say whether to save now, and whether the run was told to stop; all processes say the same."""
        due, is_stopping = time.monotonic() - self.last >= self.every_seconds, self.stopping()
        if self.accelerator.num_processes == 1:
            return due, is_stopping
        said = [due and self.accelerator.is_main_process, is_stopping]
        votes = self.accelerator.reduce(torch.tensor(said, dtype=torch.int32, device=self.accelerator.device))
        return bool(votes[0] > 0), bool(votes[1] > 0)

    def save(self, step: int) -> None:
        """Save what `restore` needs before `step`; where that fails, warn and keep the last good save."""
        partial = self.work / f"step-{step:09d}.partial"
        trouble: Exception | None = None
        try:
            self._write(partial)
        except (OSError, RuntimeError) as error:  # torch's writer turns some errors of the file system into the latter
            trouble = error
        is_whole = self._all_agree(trouble is None)
        if self.accelerator.is_main_process:
            if is_whole:
                try:
                    self._finish(partial, step)
                except OSError as error:
                    trouble, is_whole = error, False
            if not is_whole:
                shutil.rmtree(partial, ignore_errors=True)
        if not is_whole:
            self.failed += 1
        if trouble is not None:
            kept = self.newest()
            warnings.warn(
                f"the state of the run could not be saved before step {step + 1} ({trouble}); training goes on, and the next "
                f"save is tried in {self.every_seconds:g} s. A killed run would resume from {kept or 'its beginning'}; free "
                f"space in {self.work}",
                RuntimeWarning,
                stacklevel=2,
            )
        self.accelerator.wait_for_everyone()
        self.last = time.monotonic()

    def _write(self, partial: Path) -> None:
        partial.mkdir(exist_ok=True)
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        if self._is_sharded:
            self.accelerator.save_state(str(partial))
        elif self.accelerator.is_main_process:
            state |= {"model": self._trained(), "optimizer": self.optimizer.state_dict()}
        else:
            return
        with (partial / self._file).open("wb") as file:
            torch.save(state, file)

    def _finish(self, partial: Path, step: int) -> None:
        flush(partial)
        hashes = {file.relative_to(partial).as_posix(): file_hash(file) for file in _files(partial)}
        write_sealed(partial / PROGRESS, {"step": step, "layout": self._layout, "files": hashes})
        rename(partial, partial.with_suffix(""))
        for folder in self._whole()[:-KEPT]:
            shutil.rmtree(folder)

    def _trained(self) -> dict[str, Tensor]:
        """The model's state without the weights that are not trained."""
        model = self.accelerator.unwrap_model(self.model)
        named = model.named_parameters(remove_duplicate=False)
        frozen = {name for name, parameter in named if not parameter.requires_grad}
        return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}

    def _load(self, state: Mapping[str, Any]) -> None:
        expected = self._trained().keys()
        if state["model"].keys() != expected:
            names = ", ".join(sorted(state["model"].keys() ^ expected)[:3])
            raise AyaError(f"{self.work}: the save is of another model, which differs in {names}; delete the folder")
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])

    @property
    def _is_sharded(self) -> bool:
        return self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)

    @property
    def _layout(self) -> dict[str, Any]:
        """What a save depends on beside the run itself."""
        if not self._is_sharded:
            return {"sharded": None, "processes": None}
        return {"sharded": str(self.accelerator.distributed_type.value), "processes": self.accelerator.num_processes}

    @property
    def _file(self) -> str:
        return f"state-{self.accelerator.process_index}.pt" if self._is_sharded else STATE

    def _all_agree(self, yes: bool) -> bool:
        """Say whether all processes say yes."""
        votes = self.accelerator.reduce(torch.tensor(int(yes), device=self.accelerator.device))
        return bool(votes == self.accelerator.num_processes)

    def _whole(self) -> list[Path]:
        found = sorted(path for path in self.work.glob("step-*") if not path.suffix)
        return [path for path in found if self.latest is None or int(path.name.removeprefix("step-")) <= self.latest]


def checkpoint_along(work: Path, step: int) -> Path:
    """Where a checkpoint along a run waits for its end."""
    return work / f"checkpoint-{step}"


def kept_bytes(work: Path) -> int:
    """How large the saves are that lie in a folder."""
    return sum(file.stat().st_size for save in work.glob("step-*") for file in save.rglob("*") if file.is_file())


def _files(save: Path) -> Iterator[Path]:
    return (path for path in sorted(save.rglob("*")) if path.is_file() and path.name != PROGRESS)


def _check(save: Path) -> None:
    """Raise DamageError or FileNotFoundError for a save that is not what was written."""
    for name, digest in read_sealed(save / PROGRESS)["files"].items():
        if file_hash(save / name) != digest:
            raise DamageError(f"{save / name}: damaged: its bytes are not those that were written")


def _layout_text(layout: Mapping[str, Any]) -> str:
    if layout["sharded"] is None:
        return "processes that hold the model whole"
    return f"{layout['processes']} processes that share it by {layout['sharded']}"
