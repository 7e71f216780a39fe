"""Send each language to a teacher of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import model_validator

from aya_core.api import (
    AyaError,
    Field,
    Judged,
    Language,
    Pool,
    Prompt,
    Router,
    RouterStrategy,
    RowsRef,
    counts_as,
    did_you_mean,
    read_rows,
)
from aya_plugins.routers.standing import best_teacher, known_teacher


class Fixed(RouterStrategy):
    """Send each language to one teacher: the one named, or the one with the best verdicts so far.

    Source: the fixed routing of Odumakinde et al. 2024, arXiv 2408.14960, where experts are assigned by
    language.
    """

    teachers: Mapping[Language, str] = Field({}, description="Teacher of each language, by language code.")
    default: str | None = Field(None, description="Teacher of all languages not named.")
    verdicts: RowsRef | None = Field(None, description="Verdicts that choose the teachers of languages not named.")
    prompts: RowsRef | None = Field(
        None,
        description="Rows with the prompts of these verdicts, which say the languages; best answers will do.",
    )

    @model_validator(mode="after")
    def _says_who(self) -> Self:
        if (self.verdicts is None) != (self.prompts is None):
            raise ValueError("verdicts need the prompts they are of, and the other way round")
        if not self.teachers and self.default is None and self.verdicts is None:
            raise ValueError("expected teachers by language, a default teacher, or verdicts")
        return self

    def build(self) -> Router:
        """Make the router; verdicts are read when the first prompts are routed."""
        return _Fixed(self)


class _Fixed:
    def __init__(self, settings: Fixed) -> None:
        self._settings = settings
        self._chosen: Mapping[str, str] | None = None

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        if self._chosen is None:
            self._chosen = {**self._by_verdicts(teachers), **self._settings.teachers}
        return [[known_teacher(self._teacher_of(prompt), teachers)] for prompt in prompts]

    def _teacher_of(self, prompt: Prompt) -> str:
        chosen = self._chosen or {}
        teacher = chosen.get(counts_as(prompt.language, chosen) or "", self._settings.default)
        if teacher is None:
            near = did_you_mean(prompt.language, chosen)
            raise AyaError(f"router 'fixed': no teacher for '{prompt.language}' and no default ({near})")
        return teacher

    def _by_verdicts(self, teachers: Sequence[str]) -> Mapping[str, str]:
        verdicts, prompts = self._settings.verdicts, self._settings.prompts
        if verdicts is None or prompts is None:
            return {}
        language = {prompt.id: prompt.language for prompt in read_rows(Path(prompts), Prompt)}
        judged: dict[str, list[Judged]] = defaultdict(list)
        for row in read_rows(Path(verdicts), Judged):
            if row.completion.prompt_id in language:
                judged[language[row.completion.prompt_id]].append(row)
        return {code: best_teacher(rows, teachers) for code, rows in judged.items()}
