"""Which shards are what was written: the hash of each, kept beside the payload until the artifact's manifest has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aya_core.contract.artifacts import MANIFEST, PAYLOAD, load
from aya_core.contract.errors import DamageError
from aya_core.contract.hashes import file_hash
from aya_core.contract.journal import Journal


class SealedShards:
    """The hashes of the shards of one part of an artifact. known: by file name. journal: where new ones are added."""

    def __init__(self, known: Mapping[str, str], journal: Journal) -> None:
        self._known = dict(known)
        self._journal = journal

    @classmethod
    def of(cls, folder: Path, part: str) -> SealedShards:
        """Read the hashes of an artifact's shards from its manifest, or where it is not finished from its journal.

        folder: of the artifact. Raises ArtifactError for a damaged manifest.
        """
        journal = Journal(folder / "work" / f"shards-{part}.jsonl")
        if (folder / MANIFEST).is_file():
            within = Path(PAYLOAD, part)
            files = {Path(PAYLOAD, name): entry["sha256"] for name, entry in load(folder).files.items()}
            return cls({path.name: digest for path, digest in files.items() if path.parent == within}, journal)
        return cls(journal.read(), journal)

    def check(self, shard: Path) -> None:
        """Raise DamageError for a shard that is not what was sealed."""
        if shard.name not in self._known:
            raise DamageError(f"{shard}: the hash of what was written is lost")
        if file_hash(shard) != self._known[shard.name]:
            raise DamageError(f"{shard}: damaged: its bytes are not those that were written")

    def seal(self, name: str, file: Path) -> None:
        """Take down the hash of a shard that is written and has not its name yet: one that has it is always known."""
        self._known[name] = file_hash(file)
        self._journal.write([(name, self._known[name])])
        self._journal.close()
