"""Prompts, demonstrations or preferences from CSV and TSV files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from aya_core.api import DataError, Dataset, DatasetStrategy, Field
from aya_plugins.datasets.file_options import FileOptions, table_of
from aya_plugins.datasets.files import Line, csv_lines, find_files, named


class Csv(FileOptions, DatasetStrategy):
    """Read rows from CSV and TSV files with a header, UTF-8, quoted as spreadsheets and pandas quote them; also compressed
    (.gz, .zst).

    A cell without text holds nothing. The columns present say what a row is: chosen and rejected make a preference,
    completion a demonstration, neither a prompt.
    """

    version = 4

    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What parts cells; by default a tab in .tsv files, else a comma."
    )

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        return table_of(self, partial(_lines, self.path, self.delimiter, self.columns.score))


def _lines(path: str, delimiter: str | None, score: str | None) -> Iterator[Line]:
    for file in find_files(path, (".csv", ".tsv")):
        for line in named(csv_lines(file, delimiter), file, path):
            row = {name: cell or None for name, cell in line.row.items()}
            yield line._replace(row=row if score is None else {**row, score: _number(line, score)})


def _number(line: Line, column: str) -> float:
    try:
        return float(line.row[column])
    except (KeyError, ValueError):
        held = line.row.get(column)
        raise DataError(f"{line.place}: the score is {held!r:.80}; expected a number in column '{column}'") from None
