"""Scores of translations: from a store where they are known, and else from a process of COMET's environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from aya_core.api import Journal, content_of, make_folder, stable_hash
from aya_plugins.comet import environment as environments
from aya_plugins.comet.process import Sample, Score, Worker
from aya_plugins.comet.settings import Comet


def scores(settings: Comet, rows: Sequence[Sample], store: Path | None) -> list[Score]:
    """Score translations, in their order; equal ones are scored once. Space around texts is taken off, as comet-score does.

    store: a folder where scores are kept by content: of the checkpoint, its encoder, the three texts, the precision and the
    environment. They are written after each batch, so that a kill costs no more than one. None keeps nothing.

    Raises AyaError where the environment cannot be made or its process ends, DataError for a checkpoint that is not right.
    """
    rows = [Sample(*(text.strip() for text in row)) for row in rows]
    kept = ScoreStore(store, _key(settings))
    known = kept.read()
    wanted = {_row_key(row): row for row in rows}
    left = {key: row for key, row in wanted.items() if key not in known}
    if left:
        keys = list(left)
        with Worker(environments.environment(settings.python)) as worker, kept:
            worker.load(settings)
            for batch in worker.scores(list(left.values()), settings.batch_tokens):
                scored = {keys[place]: score for place, score in batch}
                known.update(scored)
                kept.write(scored)
    return [known[_row_key(row)] for row in rows]


def signature(settings: Comet) -> Mapping[str, str]:
    """Name what moves the scores: checkpoint, encoder, precision, and the environment with the versions in it."""
    python = environments.environment(settings.python)
    made = {"pins": environments.made_of()} if settings.python is None else {}
    versions = environments.versions(python)
    facts = {**_models(settings), "precision": settings.precision, "environment": str(python), **made, **versions}
    return {settings.metric: ", ".join(f"{name} {value}" for name, value in facts.items())}


class ScoreStore:
    """Scores in journals, one for each process that ever added some.

    As a context manager it closes its own file.
    """

    def __init__(self, store: Path | None, key: str) -> None:
        self._folder = None if store is None else store / f"comet-{key}"
        self._journal: Journal | None = None

    def read(self) -> dict[str, Score]:
        """All scores that are there."""
        files = sorted(self._folder.glob("*.jsonl")) if self._folder is not None else ()
        return {key: Score(*score) for path in files for key, score in Journal(path).read().items()}

    def write(self, scored: Mapping[str, Score]) -> None:
        """Add scores. They survive a kill of this process as soon as this returns."""
        if self._folder is None:
            return
        if self._journal is None:
            make_folder(self._folder)
            self._journal = Journal(self._folder / f"{uuid4().hex}.jsonl")
        self._journal.write(scored.items())

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _key(settings: Comet) -> str:
    made_by = settings.python or environments.made_of()
    return stable_hash([_models(settings), settings.metric, settings.precision, made_by])[:16]


def _models(settings: Comet) -> Mapping[str, str]:
    return {
        "checkpoint": _content(settings.name, settings.revision, settings.path),
        "encoder": _content(None, settings.encoder_revision, settings.encoder),
    }


def _content(name: str | None, revision: str | None, path: str | None) -> str:
    if path is not None:
        return content_of(Path(path))
    return f"{name}@{revision}" if name else str(revision)


def _row_key(row: Iterable[str]) -> str:
    return blake2b(json.dumps(list(row)).encode(), digest_size=16).hexdigest()
