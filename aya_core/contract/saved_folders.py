"""Data sets in folders that `datasets.save_to_disk` wrote, read as a stream without that library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from aya_core.contract.errors import DataError, did_you_mean
from aya_core.contract.lines import Line, arrow_lines

STATE, SPLITS = "state.json", "dataset_dict.json"
"""What lies in the folder of a saved data set, and in that of several splits."""


def is_saved(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote this folder: a data set, or several splits of one."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def splits_of(folder: Path) -> list[str]:
    """The splits of a saved data set; none where the folder holds a single one."""
    if not (folder / SPLITS).is_file():
        return []
    splits = _read(folder / SPLITS).get("splits")
    if not isinstance(splits, list) or not splits:
        raise DataError(f"{folder / SPLITS}: names no splits; expected what `datasets.save_to_disk` writes")
    return [str(split) for split in splits]


def saved_lines(folder: Path, split: str | None = None) -> Iterator[Line]:
    """Stream the rows of a saved data set, numbered from 1. split: of several; needed unless there is one.

    Raises DataError where the split or a file is missing.
    """
    splits = splits_of(folder)
    if splits:
        if split is None and len(splits) > 1:
            raise DataError(
                f"{folder}: holds the splits {', '.join(splits)}; name the folder of one, such as {folder / splits[0]}"
            )
        if split is not None and split not in splits:
            raise DataError(f"{folder}: no split '{split}'; {did_you_mean(split, splits)}")
        folder = folder / (split or splits[0])
    number = 0
    for file in _files(folder):
        for line in arrow_lines(file):
            number += 1
            yield Line(f"{folder}:{number}", folder.name, number, line.row, is_filled=True)


def _files(folder: Path) -> list[Path]:
    state = folder / STATE
    if not state.is_file():
        raise DataError(f"{state}: no such file; expected what `datasets.save_to_disk` writes")
    held = _read(state)
    if held.get("_indices_data_files"):
        raise DataError(f"{folder}: was saved with an index of rows; call flatten_indices() and save it again")
    listed = held.get("_data_files")
    if not isinstance(listed, list):
        raise DataError(f"{state}: names no files; expected what `datasets.save_to_disk` writes")
    files = [folder / Path(str(one.get("filename"))).name for one in listed]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file, but {STATE} names it; copy the whole folder")
    return files


def _read(file: Path) -> dict[str, object]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error}); save the data set again") from None
    if not isinstance(held, dict):
        raise DataError(f"{file}: expected a JSON object; save the data set again")
    return held
