"""From rows of any table to prompts, demonstrations and preferences.

| columns of the row | record |
|---|---|
| chosen and rejected | Preference |
| completion | Demonstration; with `columns.score`, one answer of a group |
| completion and label | Preference of one answer, good or bad |
| neither | Prompt |

These and the other forms in which rows lie around are read in `forms.py`. Every row of a data set must give the same record.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, model_validator

from aya_core.api import (
    NO_MORE,
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
    find_language,
    is_number,
    plain_language,
    stable_hash,
)
from aya_plugins.answers.endings import BROKEN, ending
from aya_plugins.datasets.conversations import read_tools, refuse_unseen
from aya_plugins.datasets.files import Line
from aya_plugins.datasets.forms import CONVERSATIONS, Found, look_up, read_row
from aya_plugins.datasets.names import IDS, Columns

NO_CODES: Mapping[str, str] = MappingProxyType({})


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


@dataclass
class Reading:
    """What came of reading rows. ways: from which columns, with how many rows each. without: rows that gave no pair, by reason."""

    ways: Counter[str] = field(default_factory=Counter)
    without: Counter[str] = field(default_factory=Counter)


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
    reading: Reading = field(default_factory=Reading, compare=False)

    def account(self) -> Mapping[str, Any]:
        """Say from which columns rows were read so far, and how many gave no pair."""
        said: dict[str, Any] = {"columns": dict(self.reading.ways)}
        return {**said, "without_pair": dict(self.reading.without)} if self.reading.without else said

    def rows(self, seed: int = 0) -> Iterator[ExampleRow]:
        """Yield the record of each row, whatever the seed. Raises DataError with file and line."""
        seen = IdSet()
        kind: type | None = None
        before: Prompt | None = None
        self.reading.ways.clear()
        self.reading.without.clear()
        most = None if self.limit is None else min(self.limit, sys.maxsize)
        kept = islice(filter(self._is_kept, self.lines()), most)
        for line, row in _kind_first((line, row) for line in kept if (row := self._record(line)) is not None):
            kind = kind or type(row)
            if kind is Demonstration and _is_unanswered(line, row):
                self.reading.without[UNANSWERED] += 1
                continue
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

    def _record(self, line: Line) -> ExampleRow | None:
        columns = self.columns
        refuse_unseen(line, columns.meta)
        found = read_row(line, columns)
        if found.without:
            self.reading.without[found.without] += 1
            return None
        self.reading.ways[found.how] += 1
        language = row_language(
            line, columns.language, self.language, self.language_from_name, self.languages, columns.script
        )
        reference = look_up(line, columns.reference, ("reference",))
        if reference is not None and (isinstance(reference, bool) or not isinstance(reference, (str, int, float))):
            raise DataError(f"{line.place}: the reference is a {type(reference).__name__}; expected a text or a number")
        last = found.prompt[-1] if found.prompt else NO_QUESTION
        if last["role"] not in ("user", "tool"):
            raise DataError(f"{line.place}: the last message of the prompt is the {last['role']}'s, not the user's")
        if last["role"] == "user" and not last["content"].strip():
            raise DataError(f"{line.place}: the prompt is empty; expected a question")
        prompt = Prompt(
            row_id(line, columns.id, language, self.id_template),
            language,
            found.prompt,
            None if reference is None else str(reference),
            {name: _meta(line, name) for name in columns.meta},
            row_item(line, columns.item, columns.id, self.id_template),
            read_tools(line, columns.meta),
        )
        if found.answers:
            return _with_answers(line, prompt, found, columns)
        if prompt.more:
            raise DataError(
                f"{line.place}: the prompt holds more than text ({prompt.more}), which teachers and judges would not see; leave such "
                "rows out, or give the answer to learn, too"
            )
        return prompt


NO_QUESTION: Message = {"role": "tool", "content": ""}
"""Stands for the question of a text that answers none."""

UNANSWERED = "conversations without a last answer"

AHEAD = 1_000
"""Rows that are read ahead where a file begins with conversations without a last answer."""


def _is_unanswered(line: Line, row: ExampleRow) -> bool:
    return type(row) is Prompt and not line.row.keys().isdisjoint(CONVERSATIONS)


def _kind_first(read: Iterator[tuple[Line, ExampleRow]]) -> Iterator[tuple[Line, ExampleRow]]:
    """Yield rows as they come; but where a few conversations without a last answer come first, after the first that has one, which says
    what the rows are."""
    first = []
    for pair in read:
        first.append(pair)
        if not _is_unanswered(*pair) or len(first) == AHEAD:
            break
    if first and not _is_unanswered(*first[-1]):
        first = [first[-1], *first[:-1]]
    yield from first
    yield from read


def _with_answers(line: Line, prompt: Prompt, found: Found, columns: Columns) -> Demonstration | Preference:
    """Make the record of a row with one answer or two."""
    first, last = found.answers[0], found.answers[-1]
    if len(found.answers) == 2:
        better, worse = found.scores or (None, None)
        return Preference(
            prompt, first["content"], last["content"], chosen_score=better, rejected_score=worse,
            chosen_finish_reason=_ended(line, "chosen_finish_reason"), rejected_finish_reason=_ended(line, "rejected_finish_reason"),
            chosen_more=first.get("more", NO_MORE), rejected_more=last.get("more", NO_MORE),
        )  # fmt: skip
    text, more, ended = last["content"], last.get("more", NO_MORE), _ended(line, "finish_reason")
    if found.label is None:
        return Demonstration(prompt, text, score=_score(line, columns.score), finish_reason=ended, more=more)
    if found.label:
        return Preference(prompt, text, None, chosen_finish_reason=ended, chosen_more=more)
    return Preference(prompt, None, text, rejected_finish_reason=ended, rejected_more=more)


def _ended(line: Line, name: str) -> str | None:
    """How an answer ended, in our words; None where a row does not say it. Raises DataError for an answer that was broken off."""
    found = line.row.get(name)
    ended = ending(found, "") if isinstance(found, str) else ""
    if ended == BROKEN:
        raise DataError(f"{line.place}: {name} is '{found}': the answer was broken off; leave such rows out")
    return ended or None


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
    if column is None and "script" not in line.row:
        return language
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


def _score(line: Line, column: str | None) -> float | None:
    if column is None:
        return None
    value = look_up(line, column, ())
    if not is_number(value):
        raise DataError(f"{line.place}: the score is {value!r:.80}; expected a finite number")
    return float(value)
