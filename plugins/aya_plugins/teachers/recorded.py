"""Answers that were written down before, as a teacher."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import NoneType
from typing import Any

from aya_core.api import (
    Completion,
    DataError,
    Field,
    Language as Code,
    LocalFile,
    Prompt,
    Sampling,
    Settings,
    Teacher,
    TeacherStrategy,
    Unanswered,
    did_you_mean,
    temporary_database,
)
from aya_plugins.answers.reasoning import may_reason
from aya_plugins.answers.said import ReasoningSettings, said
from aya_plugins.datasets.columns import LANGUAGES, IdTemplate, LanguageFromName, row_id, row_language
from aya_plugins.datasets.files import Line, read_lines
from aya_plugins.datasets.forms import look_up
from aya_plugins.datasets.names import IDS
from aya_plugins.teachers.recordings import RECORDED, Recording, bare_answer, is_reply, recordings

MODELS = ("model", "teacher", "model_name")

NONE = "no recorded answer"
FEWER = "fewer recorded answers than samples asked for"

NOTHING_MORE = Recording("")[1:]
"""What most rows say beside their text."""


class RecordedColumns(Settings):
    """Which column holds what. One that is named must be in every row; others are used where found."""

    id: str | None = Field(None, description="Ids of the prompts. By default id, prompt_id or question_id.")
    answer: str | None = Field(
        None,
        description="The answers. By default answer, completion, text, generation(s), response, output or the last of messages.",
    )
    model: str | None = Field(None, description="Who answered. By default model, teacher or model_name.")
    language: str | None = Field(None, description="Languages, as codes or English names. By default language.")
    script: str | None = Field(None, description="Scripts that go with the languages. By default script.")
    languages: dict[str, Code] = Field({}, description=LANGUAGES)


class Recorded(ReasoningSettings, TeacherStrategy):
    """Answer from JSONL or Parquet files that hold answers by prompt id.

    Several answers to one prompt are its samples, in the order of the file. Sampling settings other than
    `n` have no effect. A prompt without an answer is left out, and counted with the reason; so is an answer that is null.

    How an answer ended, its reasoning and its tokens are read where the files say them: exports of a run do (`finish_reason`, `reasoning`,
    `prompt_tokens`, `completion_tokens`), and so do batch outputs of OpenAI and Anthropic, which go by their `custom_id`, and what
    distilabel (`generation`, `generations`) and litellm write.
    """

    version = 2
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

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion | Unanswered]:
        find = "SELECT text, more FROM answers WHERE id = ? ORDER BY rowid"
        keep = self._settings.reasoning == "keep"
        wanted = sampling.n
        for prompt in prompts:
            rows = self._answers.execute(find, (prompt.id,)).fetchall()
            index, reason = 0, ""
            for text, more in rows:
                if more is None and index < wanted and (keep or not may_reason(text)):  # as most are
                    yield Completion(prompt.id, "", index, text, finish_reason=RECORDED)
                    index += 1
                    continue
                one = Recording(text, *json.loads(more)) if more else Recording(text)
                if text is None:
                    reason = one.reason
                elif index < wanted:
                    what = said(text, one.reasoning, one.finish_reason, keep=keep)
                    yield what.completion(prompt.id, index, one.prompt_tokens, one.completion_tokens)
                    index += 1
            if index < wanted:
                yield Unanswered(prompt.id, reason or (FEWER if rows else NONE))

    @cached_property
    def _answers(self) -> sqlite3.Connection:
        settings = self._settings
        models: set[str | None] = set()
        database = temporary_database()
        database.execute("CREATE TABLE answers (id TEXT, text TEXT, more TEXT)")
        database.executemany("INSERT INTO answers VALUES (?, ?, ?)", self._rows(models))
        database.execute("CREATE INDEX by_id ON answers (id)")
        names = sorted(str(model) for model in models if model is not None)
        if settings.model is None and len(models) > 1:
            raise DataError(f"{settings.path}: answers of several models ({', '.join(names)}); say which with `model`")
        if settings.model is not None and settings.model not in names:
            raise DataError(f"{settings.path}: no answers of '{settings.model}'; {did_you_mean(settings.model, names)}")
        return database

    def _rows(self, models: set[str | None]) -> Iterator[tuple[str, str | None, str | None]]:
        settings = self._settings
        for line in read_lines(settings.path, ".jsonl", ".json", ".parquet", ".csv"):
            model = _model(line, settings.columns.model)
            models.add(model)
            if settings.model is None or model == settings.model:
                id = self._id(line)
                column = self._answer_column(line)
                if (text := bare_answer(line.row, column)) is not None:
                    yield id, text, None
                    continue
                for one in recordings(line, column):
                    more = one[1:]
                    yield id, one.text, None if more == NOTHING_MORE else json.dumps(more)

    def _id(self, line: Line) -> str:
        settings = self._settings
        if settings.columns.id is None and is_reply(line.row):
            line = line._replace(row=_with_own_id(line.row))
        columns = settings.columns
        if look_up(line, columns.id, IDS) is None:
            raise DataError(f"{line.place}: no prompt id; expected it in column '{columns.id or 'id'}'")
        if settings.id_template == "{id}":
            return row_id(line, columns.id, "", "{id}")
        language = row_language(
            line, columns.language, None, settings.language_from_name, columns.languages, columns.script
        )
        return row_id(line, settings.columns.id, language, settings.id_template)

    def _answer_column(self, line: Line) -> str | None:
        named = self._settings.columns.answer
        if named is not None:
            look_up(line, named, ())  # it must be there
        return named


def _model(line: Line, column: str | None) -> str | None:
    """Who answered, where the row says. Raises DataError for what is no name."""
    model = look_up(line, column, MODELS)
    if isinstance(model, (str, int, float, NoneType)):
        return model if model is None else str(model)
    raise DataError(f"{line.place}: the model is {model!r:.60}; expected a name in column '{column or 'model'}'")


def _with_own_id(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A server's reply under the id that it was asked by, where the row has one beside the server's own."""
    own = next((row[name] for name in ("custom_id", *IDS[1:]) if row.get(name) is not None), None)
    return row if own is None else {**row, "id": own}
