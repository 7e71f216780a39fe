"""Prompts, demonstrations or preferences from Parquet files."""

from __future__ import annotations

from aya_core.api import Dataset, DatasetStrategy
from aya_plugins.datasets.file_options import FileOptions, table


class Parquet(FileOptions, DatasetStrategy):
    """Read rows from Parquet files.

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt. Messages, ShareGPT's conversations and other usual forms are read, too.
    """

    version = 4

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        return table(self, ".parquet")
