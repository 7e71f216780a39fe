"""The files that a path means, and their rows, each with its place."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from aya_core.api import READERS, DataError, Line, csv_lines, json_lines, parquet_lines

__all__ = ["Line", "csv_lines", "find_files", "json_lines", "parquet_lines", "read_lines"]


def find_files(path: str, endings: tuple[str, ...]) -> list[Path]:
    """List the files that a path means, in name order: itself, those of a folder or else of its folders, or the matches of a glob.

    endings: which files of a folder count. Raises DataError when there is none.
    """
    found = Path(path)
    if found.is_file():
        return [found]
    if found.is_dir():
        files = [file for file in found.iterdir() if file.suffix in endings and file.is_file()]
        files = files or [file for file in found.glob("*/*") if file.suffix in endings and file.is_file()]
    else:
        files = [Path(match) for match in glob.glob(path, recursive=True) if Path(match).is_file()]
    if not files:
        what = f"no {' or '.join(endings)} file in this folder" if found.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; expected a file, a folder of {' or '.join(endings)} files, or a glob")
    return sorted(files)


def read_lines(path: str, *endings: str) -> Iterator[Line]:
    """Stream the rows of every file that a path means; one of another ending is read like the first.

    Rows of a file in a folder of the folder meant are named by the former, as where a set has one for each language.
    """
    root = Path(path)
    for file in find_files(path, endings):
        lines = READERS[file.suffix if file.suffix in endings else endings[0]](file)
        if root.is_dir() and file.parent != root:
            lines = (line._replace(name=file.parent.name) for line in lines)
        yield from lines
