"""Send every prompt to the same teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import model_validator

from aya_core.api import Field, Judged, Pool, Prompt, Router, RouterStrategy, RowsRef, read_rows
from aya_plugins.routers.standing import best_teacher, known_teacher


class Single(RouterStrategy):
    """Send every prompt to one teacher: the one named, or the one with the best verdicts so far.

    Source: the single-teacher baseline of Odumakinde et al. 2024, arXiv 2408.14960.
    """

    teacher: str | None = Field(None, description="Name of the teacher.")
    verdicts: RowsRef | None = Field(None, description="Verdicts that choose the teacher, in place of a name.")

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if (self.teacher is None) == (self.verdicts is None):
            raise ValueError("expected either a teacher or verdicts to choose it by")
        return self

    def build(self) -> Router:
        """Make the router; verdicts are read when the first prompts are routed."""
        return _Single(self)


class _Single:
    def __init__(self, settings: Single) -> None:
        self._teacher, self._verdicts = settings.teacher, settings.verdicts

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        if self._teacher is None and self._verdicts is not None:
            self._teacher = best_teacher(read_rows(Path(self._verdicts), Judged), teachers)
        return [[known_teacher(self._teacher or "", teachers)]] * len(prompts)
