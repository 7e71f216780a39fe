"""The files that a path means, and their rows, each with its place."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from aya_core.api import READERS, DataError, Line, csv_lines, json_lines, parquet_lines
from aya_plugins.datasets.shards import check_copies, check_shards

__all__ = ["Line", "csv_lines", "find_files", "json_lines", "named", "parquet_lines", "read_lines"]


def find_files(path: str, endings: tuple[str, ...]) -> list[Path]:
    """List the files that a path means, in name order: itself, those of a folder or else of its folders, or the matches of a glob.

    endings: which files of a folder count. Raises DataError when there is none, when a shard is missing, and when rows would count twice.
    """
    found = Path(path)
    if found.is_file():
        return [found]
    if found.is_dir():
        files = [file for file in found.iterdir() if file.suffix in endings and file.is_file()]
        files = files or [file for file in found.glob("*/*") if file.suffix in endings and file.is_file()]
    else:
        files = [Path(match) for match in set(glob.glob(path, recursive=True)) if Path(match).is_file()]
    if not files:
        what = f"no {' or '.join(endings)} file in this folder" if found.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; expected a file, a folder of {' or '.join(endings)} files, or a glob")
    files.sort()
    check_shards(files)
    check_copies(files)
    return files


def read_lines(path: str, *endings: str) -> Iterator[Line]:
    """Stream the rows of every file that a path means; one of another ending is read like the first."""
    for file in find_files(path, endings):
        yield from named(READERS[file.suffix if file.suffix in endings else endings[0]](file), file, path)


def named(lines: Iterator[Line], file: Path, path: str) -> Iterator[Line]:
    """Name rows by the folder of their file, where that is one of several in the folder meant, as one for each language."""
    root = Path(path)
    if not root.is_dir() or file.parent == root:
        return lines
    return (line._replace(name=file.parent.name) for line in lines)
