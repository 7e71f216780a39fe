"""Answers that were written down before, as a teacher."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cached_property

from aya_core.api import (
    Completion,
    DataError,
    Field,
    LocalFile,
    Prompt,
    Sampling,
    Settings,
    Teacher,
    TeacherStrategy,
    did_you_mean,
    temporary_database,
)
from aya_plugins.datasets.columns import IdTemplate, LanguageFromName, row_id, row_language
from aya_plugins.datasets.files import Line, read_lines
from aya_plugins.datasets.forms import look_up
from aya_plugins.datasets.names import IDS


class RecordedColumns(Settings):
    """Which column holds what. One that is named must be in every row; others are used where found."""

    id: str | None = Field(None, description="Ids of the prompts. By default id, prompt_id or question_id.")
    answer: str | None = Field(None, description="The answers. By default answer, completion or text.")
    model: str | None = Field(None, description="Who answered. By default model or teacher.")
    language: str | None = Field(None, description="Language codes. By default language.")


class Recorded(TeacherStrategy):
    """Answer from JSONL or Parquet files that hold answers by prompt id.

    Several answers to one prompt are its samples, in the order of the file. Sampling settings other than
    `n` have no effect. A prompt without an answer is left out.
    """

    path: LocalFile = Field(description="A file, a folder of .jsonl or .parquet files, or a glob.")
    model: str | None = Field(None, description="Take the answers of this model; needed where the files hold several.")
    columns: RecordedColumns = Field(RecordedColumns(), description="Which column holds what.")
    language_from_name: LanguageFromName = False
    id_template: IdTemplate = "{id}"

    def build(self) -> Teacher:
        """Make the teacher; files are read when it is first asked."""
        return _Recorded(self)


class _Recorded:
    """Answers in a temporary database by prompt id, so that memory does not grow with their number."""

    def __init__(self, settings: Recorded) -> None:
        self._settings = settings

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        find = "SELECT text FROM answers WHERE id = ? ORDER BY rowid"
        for prompt in prompts:
            texts = self._answers.execute(find, (prompt.id,)).fetchall()
            if 0 < len(texts) < sampling.n:
                raise DataError(
                    f"{self._settings.path}: {len(texts)} answers to '{prompt.id}', "
                    f"sampling asks for n = {sampling.n}; lower it, or record more"
                )
            for index, (text,) in enumerate(texts[: sampling.n]):
                yield Completion(prompt.id, "", index, text, finish_reason="recorded")

    @cached_property
    def _answers(self) -> sqlite3.Connection:
        settings = self._settings
        models: set[str | None] = set()
        database = temporary_database()
        database.execute("CREATE TABLE answers (id TEXT, text TEXT)")
        database.executemany("INSERT INTO answers VALUES (?, ?)", self._rows(models))
        database.execute("CREATE INDEX by_id ON answers (id)")
        names = sorted(str(model) for model in models if model is not None)
        if settings.model is None and len(models) > 1:
            raise DataError(f"{settings.path}: answers of several models ({', '.join(names)}); say which with `model`")
        if settings.model is not None and settings.model not in names:
            raise DataError(f"{settings.path}: no answers of '{settings.model}'; {did_you_mean(settings.model, names)}")
        return database

    def _rows(self, models: set[str | None]) -> Iterator[tuple[str, str]]:
        settings = self._settings
        for line in read_lines(settings.path, ".jsonl", ".json", ".parquet", ".csv"):
            model = look_up(line, settings.columns.model, ("model", "teacher"))
            models.add(model)
            if settings.model is None or model == settings.model:
                yield self._id(line), self._text(line)

    def _id(self, line: Line) -> str:
        settings = self._settings
        if look_up(line, settings.columns.id, IDS) is None:
            raise DataError(f"{line.place}: no prompt id; expected it in column '{settings.columns.id or 'id'}'")
        language = row_language(line, settings.columns.language, None, settings.language_from_name)
        return row_id(line, settings.columns.id, language, settings.id_template)

    def _text(self, line: Line) -> str:
        text = look_up(line, self._settings.columns.answer, ("answer", "completion", "text"))
        if not isinstance(text, str):
            raise DataError(f"{line.place}: the answer is {text!r:.80}; expected a text in column 'answer'")
        return text
