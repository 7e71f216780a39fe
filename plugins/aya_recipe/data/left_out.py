"""Which rows that a stage reads were left out for their language."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.api import StageRecord, language_sentences


def sentences(stage: StageRecord) -> Sequence[str]:
    """Say it of the stage's own steps and of those whose rows they read, a sentence each."""
    read = dict.fromkeys(id for own, step in stage.steps.items() for id in (own, *step.inputs.values()))
    standing = [(id, stage.run.standing[id]) for id in read if id in stage.run.standing]
    return [f"{id}: {sentence}" for id, artifact in standing for sentence in language_sentences(artifact.measures)]
