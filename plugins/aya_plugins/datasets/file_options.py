"""Settings that every data set read from files shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

from pydantic import model_validator

from aya_core.api import Field, Language as Code, LocalFile, Settings
from aya_plugins.datasets.columns import (
    LANGUAGES,
    FoldsSetting,
    IdTemplate,
    Language,
    LanguageFromName,
    Limit,
    Table,
)
from aya_plugins.datasets.files import Line, read_lines
from aya_plugins.datasets.names import Columns


class FileOptions(Settings):
    """Which files to read, and what their columns hold.

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt.
    """

    path: LocalFile = Field(
        description="A file, a glob, or a folder, of which the files with the usual ending are read in name order."
    )
    columns: Columns = Field(Columns(), description="Which column holds what, where names are not the usual ones.")
    language: Language = None
    language_from_name: LanguageFromName = False
    languages: dict[str, Code] = Field({}, description=LANGUAGES)
    id_template: IdTemplate = "{id}"
    limit: Limit = None
    folds: FoldsSetting = None

    @model_validator(mode="after")
    def _one_source_of_language(self) -> Self:
        if self.language and self.language_from_name:
            raise ValueError("language and language_from_name exclude each other; keep one")
        return self


def table(options: FileOptions, *endings: str) -> Table:
    """Make the data set of these files; they are opened when rows are asked for."""
    return table_of(options, partial(read_lines, options.path, *endings))


def table_of(options: FileOptions, lines: Callable[[], Iterator[Line]]) -> Table:
    """Make the data set of rows that are read in a way of their own."""
    return Table(
        lines, options.columns, options.language, options.language_from_name, options.id_template, options.limit,
        options.folds, options.languages,
    )  # fmt: skip
