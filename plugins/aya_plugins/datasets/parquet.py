"""Prompts, demonstrations or preferences from Parquet files."""

from __future__ import annotations

from functools import partial

from pydantic import model_validator
from typing_extensions import Self

from aya_core.api import Dataset, Field, LocalFile, Strategy
from aya_plugins.datasets.columns import Columns, IdTemplate, Language, LanguageFromName, Limit, Table
from aya_plugins.datasets.files import read_lines


class Parquet(Strategy[Dataset]):
    """Read rows from Parquet files.

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt.
    """

    path: LocalFile = Field(
        description="A file, a folder of .parquet files, or a glob; files are read in name order."
    )
    columns: Columns = Field(
        Columns(), description="Which column holds what, where names are not the usual ones."
    )
    language: Language = None
    language_from_name: LanguageFromName = False
    id_template: IdTemplate = "{id}"
    limit: Limit = None

    @model_validator(mode="after")
    def _one_source_of_language(self) -> Self:
        if self.language and self.language_from_name:
            raise ValueError("language and language_from_name exclude each other; keep one")
        return self

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        lines = partial(read_lines, self.path, ".parquet")
        return Table(
            lines, self.columns, self.language, self.language_from_name, self.id_template, self.limit
        )
