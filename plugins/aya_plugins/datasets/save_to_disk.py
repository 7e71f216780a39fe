"""Prompts, demonstrations or preferences from a folder that `datasets.save_to_disk` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aya_core.api import DataError, Dataset, DatasetStrategy, Field, is_saved, saved_lines
from aya_plugins.datasets.file_options import FileOptions, table, table_of
from aya_plugins.datasets.files import Line
from aya_plugins.datasets.splits import WholeSplit


class SaveToDisk(FileOptions, DatasetStrategy):
    """Read rows from a folder that `save_to_disk` of the library datasets wrote, or from a folder of such folders, one for each language.

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt.
    """

    version = 2

    split: WholeSplit | None = Field(None, description="Which split, of a data set that was saved with several.")

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        if self.split is None:
            return table(self, ".arrow")
        return table_of(self, partial(lines_of_split, Path(self.path), self.split))


def lines_of_split(folder: Path, split: str) -> Iterator[Line]:
    """Stream one split. Raises DataError where the folder is no saved data set."""
    if not is_saved(folder):
        raise DataError(f"{folder}: no folder that `datasets.save_to_disk` wrote; leave out `split`, or read its files")
    return saved_lines(folder, split)
