"""What of unfinished work and of the store carries a checksum, and does not fit it any more.

Journals have one on each line, sealed files end with one, shards of a step under way have theirs in a journal, and files in the store
may be called by theirs (`named_by_hash`). Whatever else a plugin keeps there is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aya_core.contract import artifacts
from aya_core.contract.artifacts import MANIFEST, PAYLOAD
from aya_core.contract.durable import is_sealed, read_sealed
from aya_core.contract.errors import ArtifactError, DamageError
from aya_core.contract.hashes import Hashes, fits_its_name
from aya_core.contract.journal import Journal
from aya_core.running.asking.reuse import SealedShards
from aya_core.running.work import SCRATCH


def damage_of_step(partial: Path) -> Iterator[str]:
    """Yield what is wrong with a step under way. partial: its folder."""
    if (partial / MANIFEST).is_file():
        try:
            yield from artifacts.damage(artifacts.load(partial), Hashes(), everything=True)
        except ArtifactError as error:
            yield str(error)
        return
    yield from damage_in(partial / SCRATCH)
    for journal in sorted((partial / SCRATCH).glob("shards-*.jsonl")):
        sealed = SealedShards(Journal(journal).read(quietly=True), Journal(journal))
        for shard in sorted((partial / PAYLOAD / journal.stem.removeprefix("shards-")).glob("*.parquet")):
            try:
                sealed.check(shard)
            except DamageError as error:
                yield f"{error}; `aya run` makes it again"


def damage_in(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the journals, the sealed files and the files named by hash in a folder and those below it."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not fits_its_name(file):
            yield f"{file}: damaged: its bytes do not give its name; it is made again"
        elif file.suffix == ".jsonl":
            journal = Journal(file)
            if journal.read(quietly=True) and journal.fault is not None:  # without one line that fits it is no journal
                yield journal.fault
        elif file.suffix == ".json" and is_sealed(file):
            try:
                read_sealed(file)
            except DamageError as error:
                yield f"{error}; what it stands for is made again"
