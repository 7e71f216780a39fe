"""Plain text, to give a fresh model its first words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator

from aya_core.api import (
    DataError,
    Dataset,
    DatasetStrategy,
    Field,
    Language,
    LocalFile,
    check_language,
    language_name,
    opened_text,
    plain_language,
    stem_of,
)
from aya_plugins.datasets.columns import FoldsSetting, Limit, Table
from aya_plugins.datasets.files import Line, find_files
from aya_plugins.datasets.names import Columns

ENDING = ".txt"


def _template(value: str) -> str:
    names = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
    if not names <= {"language", "language_name"} or not value.strip():
        raise ValueError(f"'{value}' may hold {{language}} and {{language_name}}, and must not be empty")
    return value


class Text(DatasetStrategy):
    """Read plain text files, one for each language, as demonstrations: asked for a language, write a piece of its text.

    A row is some lines that follow one another; space at the ends of lines and empty lines are left out. Ids are made of the
    names of folder and file and the number of the row.
    """

    path: LocalFile = Field(
        description="A file, a glob, or a folder, of which the .txt files are read, compressed or not. A file is named by its language: "
        "de.txt."
    )
    languages: dict[str, Language] = Field(
        {}, description="Language of files that have another name, by that name: {europarl: de}."
    )
    prompt: Annotated[str, AfterValidator(_template)] = Field(
        "{language_name}", description="What the text is the answer to; holds {language} (a code) or {language_name}."
    )
    lines: int = Field(1, ge=1, description="Lines of a row.")
    limit: Limit = None
    folds: FoldsSetting = None

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        return Table(self._rows, Columns(), limit=self.limit, folds=self.folds)

    def _rows(self) -> Iterator[Line]:
        for file in find_files(self.path, (ENDING,)):
            try:
                code = plain_language(self.languages.get(stem_of(file)) or check_language(stem_of(file)))
            except ValueError as error:
                raise DataError(f"{file}: {error}; name it in `languages`, such as {{{stem_of(file)}: en}}") from None
            prompt = self.prompt.format(language=code, language_name=language_name(code))
            lines = _lines(file)
            number = 0
            while text := "\n".join(islice(lines, min(self.lines, sys.maxsize))):
                number += 1
                row = {"language": code, "prompt": prompt, "completion": text}
                yield Line(f"{file}, row {number}", f"{file.parent.name}-{stem_of(file)}", number, row)


def _lines(file: Path) -> Iterator[str]:
    with opened_text(file) as stream:
        try:
            yield from filter(None, map(str.strip, stream))
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
