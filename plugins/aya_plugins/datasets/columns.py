"""From rows of any table to prompts, demonstrations and preferences.

| columns of the row | record |
|---|---|
| chosen and rejected | Preference |
| completion | Demonstration; with `columns.score`, one answer of a group |
| neither | Prompt |

A prompt is a text or a list of messages that ends with the user's; an answer is a text or a list of one
assistant message. Every row of a data set must give the same record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, model_validator

from aya_core.api import (
    UNKNOWN_LANGUAGE,
    DataError,
    Demonstration,
    ExampleRow,
    Field,
    IdSet,
    Message,
    Preference,
    Prompt,
    Settings,
    check_language,
    did_you_mean,
    find_language,
    plain_language,
    stable_hash,
)
from aya_plugins.datasets.files import Line

IDS = ("id", "prompt_id", "question_id")
"""Where ids are looked for when no column is named."""

NO_CODES: Mapping[str, str] = MappingProxyType({})

ROLES = ("system", "user", "assistant")


def id_template(value: str) -> str:
    """Return a template that holds {id} and at most {language} beside it; raise ValueError for any other."""
    try:
        names = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
    except ValueError as error:
        raise ValueError(f"'{value}' is not a template ({error}); expected one such as '{{language}}/{{id}}'") from None
    if "id" not in names or not names <= {"id", "language"}:
        raise ValueError(f"'{value}' must hold {{id}}, and may hold {{language}}, such as '{{language}}/{{id}}'")
    return value


Language = Annotated[
    str | None,
    AfterValidator(lambda value: value and check_language(value)),
    Field(description="Language of every row, for tables without such a column."),
]
LanguageFromName = Annotated[
    bool,
    Field(
        description="Take the language from the name of the file or of its folder, ar.jsonl or ar/train.jsonl, where no column says it."
    ),
]
LANGUAGES = "Languages by how columns or names of files write them, where that is no code of ISO 639 and no English name: {Farsi-IR: fa}."
"""Describes the setting `languages` of what reads rows."""

IdTemplate = Annotated[
    str,
    AfterValidator(id_template),
    Field(description="How ids are made of {id} and {language}; '{language}/{id}' where languages share ids."),
]
Limit = Annotated[int | None, Field(ge=1, description="Read this many rows and stop; all by default.")]


class Folds(Settings):
    """Read a part of the rows, drawn by a hash, so that it depends on no order and is the same in every file.

    Rows with the same value of the column share a fold: a question stays on one side of a split in all its languages.
    """

    count: int = Field(ge=2, description="How many folds there are.")
    keep: tuple[int, ...] = Field(min_length=1, description="Which of them to read, from 0.")
    by: str | None = Field(None, description="Column whose value is hashed. By default the id, before `id_template`.")

    @model_validator(mode="after")
    def _keeps_folds_that_exist(self) -> Self:
        for fold in self.keep:
            if not 0 <= fold < self.count:
                raise ValueError(f"there is no fold {fold}; expected numbers from 0 to {self.count - 1} in keep")
        if len(set(self.keep)) < len(self.keep):
            raise ValueError("keep names a fold twice; name each once")
        return self


FoldsSetting = Annotated[
    Folds | None,
    Field(description="Read only some folds of the rows, as for training and held-out data; `limit` counts these."),
]


class Columns(Settings):
    """Which column holds what. One that is named must be in every row; others are used where found."""

    id: str | None = Field(
        None, description=f"Ids, unique. By default {', '.join(IDS)}, and rows without are numbered by file."
    )
    language: str | None = Field(
        None,
        description="Languages, as codes of ISO 639 (en, eng, zh-Hant, pt_BR) or English names. By default language.",
    )
    script: str | None = Field(
        None,
        description="Scripts (Latn, Hant) that go with the languages. By default script, where it holds such codes.",
    )
    prompt: str | None = Field(
        None, description="What is asked: a text, or a list of messages. By default prompt or inputs."
    )
    completion: str | None = Field(None, description="The answer to imitate. By default completion or targets.")
    chosen: str | None = Field(None, description="The better answer. By default chosen.")
    rejected: str | None = Field(None, description="The worse answer. By default rejected.")
    reference: str | None = Field(None, description="The known right answer. By default reference.")
    score: str | None = Field(
        None,
        description="Scores of completions, higher for better. Answers to one prompt, one after the other, then share its id.",
    )
    item: str | None = Field(
        None,
        description="By what a question is named in all languages: errors take its rows for one observation. By default item; or the id, "
        "where `id_template` tells languages apart.",
    )
    meta: tuple[str, ...] = Field(
        (), description="Columns to keep with each prompt, under their own names and as text; every row must have them."
    )


@dataclass(frozen=True)
class Table:
    """A data set over the rows of a table."""

    lines: Callable[[], Iterator[Line]]
    columns: Columns
    language: str | None = None
    language_from_name: bool = False
    id_template: str = "{id}"
    limit: int | None = None
    folds: Folds | None = None
    languages: Mapping[str, str] = field(default_factory=dict)

    def rows(self, seed: int = 0) -> Iterator[ExampleRow]:
        """Yield the record of each row, whatever the seed. Raises DataError with file and line."""
        seen = IdSet()
        kind: type | None = None
        before: Prompt | None = None
        for line in islice(filter(self._is_kept, self.lines()), self.limit):
            row = self._record(line)
            kind = kind or type(row)
            if type(row) is not kind:
                raise DataError(
                    f"{line.place}: this row is a {type(row).__name__.lower()}, those before are "
                    f"{kind.__name__.lower()}s; expected the same columns in every row"
                )
            prompt = row if isinstance(row, Prompt) else row.prompt
            is_same_group, before = self.columns.score is not None and prompt == before, prompt
            if not is_same_group and not seen.add(prompt.id):
                raise DataError(
                    f"{line.place}: id '{prompt.id}' was used before; expected unique ids "
                    "(id_template: '{language}/{id}' tells languages apart)"
                )
            yield row

    def _is_kept(self, line: Line) -> bool:
        folds = self.folds
        return folds is None or fold_of(line, folds.by, self.columns.id, folds.count) in folds.keep

    def _record(self, line: Line) -> ExampleRow:
        columns = self.columns
        prompt = self._prompt(line)
        chosen = look_up(line, columns.chosen, ("chosen",))
        rejected = look_up(line, columns.rejected, ("rejected",))
        completion = look_up(line, columns.completion, ("completion", "targets"))
        if (chosen is None) != (rejected is None):
            absent = "rejected" if rejected is None else "chosen"
            raise DataError(f"{line.place}: no {absent} answer; expected chosen and rejected together")
        if chosen is not None:
            return Preference(prompt, _answer(line, "chosen", chosen), _answer(line, "rejected", rejected))
        if completion is not None:
            return Demonstration(prompt, _answer(line, "completion", completion), score=_score(line, columns.score))
        return prompt

    def _prompt(self, line: Line) -> Prompt:
        columns = self.columns
        language = row_language(
            line, columns.language, self.language, self.language_from_name, self.languages, columns.script
        )
        asked = look_up(line, columns.prompt, ("prompt", "inputs"))
        if asked is None:
            raise DataError(
                f"{line.place}: no prompt; expected it in column '{columns.prompt or 'prompt'}'{_held(line)}"
            )
        reference = look_up(line, columns.reference, ("reference",))
        if reference is not None and (isinstance(reference, bool) or not isinstance(reference, (str, int, float))):
            raise DataError(f"{line.place}: the reference is a {type(reference).__name__}; expected a text or a number")
        return Prompt(
            row_id(line, columns.id, language, self.id_template),
            language,
            _messages(line, asked),
            None if reference is None else str(reference),
            {name: _meta(line, name) for name in columns.meta},
            row_item(line, columns.item, columns.id, self.id_template),
        )


def look_up(line: Line, named: str | None, usual: Sequence[str]) -> Any:
    """Return what the column named holds, or else the first usual one that is filled; None for nothing."""
    if named is None:
        for name in usual:
            if (found := line.row.get(name)) is not None:
                return found
        return None
    if named not in line.row:
        raise DataError(f"{line.place}: no column '{named}'; {did_you_mean(named, line.row)}")
    return line.row[named]


def row_language(
    line: Line,
    column: str | None,
    fixed: str | None,
    from_name: bool,
    codes: Mapping[str, str] = NO_CODES,
    script: str | None = None,
) -> str:
    """Return the language of a row: from its column, its file's name or the settings; they must agree.

    codes: languages by how they are written. script: the column beside that of languages that says their script.
    """
    stated = look_up(line, column, ("language",))
    if stated is not None and not isinstance(stated, str):
        raise DataError(f"{line.place}: the language is a {type(stated).__name__}; expected a code such as 'en'")
    stated = None if stated is None else _code(line, _with_script(line, stated, script), codes)
    expected = fixed
    if from_name and (stated is None or line.name in codes or _is_language(line.name)):
        expected = _code(line, line.name, codes)
    if stated is None or expected is None:
        return stated or expected or UNKNOWN_LANGUAGE
    expected = plain_language(expected)
    if stated == expected or stated.startswith(f"{expected}-"):
        return stated
    if expected.startswith(f"{stated}-"):
        return expected
    source = "the name of the file says" if from_name else "the settings say"
    raise DataError(f"{line.place}: the row is in '{stated}', {source} '{expected}'; expected them to agree")


def _is_language(name: str) -> bool:
    """Whether a file's name says its language, beside a column that does; words such as dev and all are codes of rare ones."""
    code = find_language(name)
    return code is not None and not len(name) == len(code) == 3


def _code(line: Line, written: str, codes: Mapping[str, str]) -> str:
    try:
        return plain_language(codes.get(written) or check_language(written))
    except ValueError as error:
        raise DataError(
            f"{line.place}: {error}; say which language it is by a map, languages: {{{written}: de}}"
        ) from None


def _with_script(line: Line, language: str, column: str | None) -> str:
    """A language with the script that another column says: zho with Hant. One with a script of its own keeps it."""
    script = look_up(line, column, ("script",))
    both = f"{language}-{script}"
    is_script = isinstance(script, str) and re.fullmatch("[A-Za-z]{4}", script) and find_language(both) is not None
    if column is not None and script is not None and not is_script:
        raise DataError(f"{line.place}: the script of '{language}' is {script!r:.60}; expected a code such as Latn")
    return both if is_script else language


def row_id(line: Line, column: str | None, language: str, template: str) -> str:
    """Return the id of a row: what its column holds, or its file's name and number, put into the template."""
    return template.format(id=_bare_id(line, column), language=language)


def row_item(line: Line, column: str | None, id_column: str | None, template: str) -> str | None:
    """Return by what a row names its question in all languages: its column, or the id that languages share; None where it does not."""
    found = look_up(line, column, ("item",))
    if found is None and column is None and "{language}" in template:
        found = look_up(line, id_column, IDS)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        raise DataError(f"{line.place}: the item is {found!r:.80}; expected a text or a whole number")
    return str(found)


def fold_of(line: Line, by: str | None, id_column: str | None, count: int) -> int:
    """Return the fold of a row, from 0 to count - 1, by a hash of a column or, where none is named, of its id."""
    value = _bare_id(line, id_column) if by is None else look_up(line, by, ())
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{line.place}: column '{by}' is {value!r:.80}; expected a text or a whole number to hash")
    return int(stable_hash(str(value))[:15], 16) % count  # str: Parquet may hold as a text what JSON holds as a number


def _bare_id(line: Line, column: str | None) -> str | int:
    found = look_up(line, column, IDS)
    if found is None and column is None:
        found = f"{line.name}-{line.number}"
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        raise DataError(f"{line.place}: the id is {found!r}; expected a text or a whole number")
    return found


def _meta(line: Line, name: str) -> str:
    """What a column holds, as text: texts as they are, nothing as the empty text, anything else as JSON."""
    value = look_up(line, name, ())
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        raise DataError(
            f"{line.place}: column '{name}' is a {type(value).__name__}; expected what JSON can hold, to keep it as text"
        ) from None


def _messages(line: Line, asked: Any) -> tuple[Message, ...]:
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not isinstance(turns, (list, tuple)) or not turns:
        raise DataError(f"{line.place}: the prompt is {turns!r:.80}; expected a text or a list of messages")
    messages = tuple(_message(line, turn) for turn in turns)
    if messages[-1]["role"] != "user":
        raise DataError(f"{line.place}: the last message of the prompt is the {messages[-1]['role']}'s, not the user's")
    if not messages[-1]["content"].strip():
        raise DataError(f"{line.place}: the prompt is empty; expected a question")
    return messages


def _message(line: Line, turn: Any) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
        raise DataError(
            f"{line.place}: {turn!r:.80} is not a message; expected a role ({', '.join(ROLES)}) and a content"
        )
    return {"role": turn["role"], "content": turn["content"]}


def _answer(line: Line, name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and len(value) == 1:
        message = _message(line, value[0])
        if message["role"] == "assistant":
            return message["content"]
    raise DataError(f"{line.place}: {name} is {value!r:.80}; expected a text or a list of one assistant message")


def _score(line: Line, column: str | None) -> float | None:
    if column is None:
        return None
    value = look_up(line, column, ())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"{line.place}: the score is {value!r:.80}; expected a finite number")
    return float(value)


def _held(line: Line) -> str:
    return f"; the row holds {', '.join(sorted(line.row))}" if line.row else "; the row is empty"
