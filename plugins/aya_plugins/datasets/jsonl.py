"""Prompts, demonstrations or preferences from JSONL and JSON files."""

from __future__ import annotations

from aya_core.api import Dataset, DatasetStrategy
from aya_plugins.datasets.file_options import FileOptions, table


class Jsonl(FileOptions, DatasetStrategy):
    """Read rows from JSONL files, one JSON object on each line, or from JSON arrays (.json), UTF-8; also compressed (.gz, .zst).

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt. Messages, ShareGPT's conversations and other usual forms are read, too.
    """

    version = 4

    def build(self) -> Dataset:
        """Make the data set; files are opened when rows are asked for."""
        return table(self, ".jsonl", ".json")
