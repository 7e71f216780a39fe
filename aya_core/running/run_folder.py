"""The run folder: whose it is, who works in it, and where things lie.

It holds `run.json` (whose run it is), `plan.json` and `steps.jsonl` (see `record.py`), `recipe.yaml` (as it was run, overrides
included), `artifacts/NODE/FINGERPRINT/`, `logs/NODE.log`, `store/`, what steps keep for one another to save time, and, at the end,
the report.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aya_core.contract import durable, locks
from aya_core.contract.errors import ArtifactError
from aya_core.planning import yaml12
from aya_core.planning.plan import Node
from aya_core.planning.recipe import LoadedRecipe
from aya_core.running.record import ARTIFACTS, FORMAT, RUN, file_name, read_about

RECIPE = "recipe.yaml"

LOCK = ".lock"

LOGS = "logs"


class Run:
    """The folder of one recipe's runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, loaded: LoadedRecipe) -> None:
        """Check that the folder is this recipe's, or new. Raises ArtifactError for a folder of something else."""
        name = loaded.recipe.name
        if (self.folder / RUN).is_file():
            found = read_about(self.folder).recipe
            if found != name:
                raise ArtifactError(
                    f"{self.folder}: holds a run of the recipe '{found}', not of '{name}'; choose another --out"
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(map(_is_not_ours, self.folder.iterdir()))):
            raise ArtifactError(
                f"{self.folder}: holds something else than a run; choose an empty or new folder as --out"
            )
        elif (
            there := next(parent for parent in self.folder.absolute().parents if parent.exists())
        ) and not there.is_dir():
            raise ArtifactError(f"{self.folder}: this folder cannot be made ({there} is a file); choose another")

    def open(self, loaded: LoadedRecipe) -> None:
        """Make the folders in it and say whose run it is."""
        # First of all, as it says what this folder is.
        self.note(format=FORMAT, recipe=loaded.recipe.name, source=loaded.source, folder=str(loaded.folder))
        for name in (ARTIFACTS, LOGS):
            durable.make_folder(self.folder / name)
        durable.write_sealed_text(self.folder / RECIPE, yaml12.dump(dict(loaded.raw)))

    def note(self, **facts: Any) -> None:
        """Add facts to `run.json`."""
        known = read_about(self.folder).model_dump() if (self.folder / RUN).is_file() else {}
        durable.write_sealed(self.folder / RUN, {**known, **facts})

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Keep a second run out of the folder while this one, or a process that it left behind, works.

        Yields the lock's file descriptor, for these processes to hold on to.
        """
        durable.make_output_folder(self.folder)

        def taken(who: str) -> ArtifactError:
            return ArtifactError(f"{self.folder}: another `aya run` is at work here ({who}); wait for it to end")

        with locks.locked(self.folder / LOCK, taken) as descriptor:
            yield descriptor

    def at_work(self) -> str | None:
        """Who works in the folder; None where nobody does."""
        if not (self.folder / LOCK).is_file():
            return None
        with (self.folder / LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return locks.holder(file)
        return None

    @property
    def store(self) -> Path:
        """What the nodes keep for one another; no artifact depends on it, and it may be deleted between two runs."""
        return self.folder / "store"

    def log(self, node: Node) -> Path:
        """What a node's process prints."""
        return self.folder / LOGS / f"{file_name(node.id)}.log"

    def place(self, node: Node, fingerprint: str) -> Path:
        """Where a node's artifact stands once it is made."""
        return self.folder / ARTIFACTS / file_name(node.id) / fingerprint[:12]

    def folders(self, node: Node) -> list[Path]:
        """All that was made for a node, finished or not, newest first."""
        place = self.folder / ARTIFACTS / file_name(node.id)
        found = [folder for folder in place.iterdir() if folder.is_dir()] if place.is_dir() else []
        return sorted(found, key=lambda folder: (-folder.stat().st_mtime_ns, folder.name))


def _is_not_ours(path: Path) -> bool:
    """Whether something lies in a folder that a run does not leave there before it has written `run.json`."""
    return path.name != LOCK and not path.match(f".{RUN}.*{durable.PARTIAL}")
