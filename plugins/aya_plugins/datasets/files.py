"""The files that a path means, and their rows, each with its place."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aya_core.api import (
    COMPRESSED,
    READERS,
    DataError,
    Line,
    csv_lines,
    ending_of,
    is_saved,
    json_lines,
    parquet_lines,
    saved_lines,
)
from aya_plugins.datasets.shards import check_copies, check_shards

__all__ = ["Line", "csv_lines", "find_files", "json_lines", "named", "parquet_lines", "read_lines"]


ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files that lie beside rows and hold none."""


def find_files(path: str, endings: tuple[str, ...]) -> list[Path]:
    """List the files that a path means, in name order: itself, those of a folder or else of its folders, or the matches of a glob.

    endings: which files of a folder count, compressed ones too. Raises DataError when there is none, when a shard is missing, and when
    rows would count twice.
    """
    found = Path(path)
    try:
        if found.is_file():
            return [found]
    except OSError as error:  # a name that no file can have
        raise DataError(
            f"{path:.200}: cannot be opened ({error.strerror}); expected a file, a folder or a glob"
        ) from None
    if found.is_dir():
        files = _of_rows(found.iterdir(), endings) or _of_rows(found.glob("*/*"), endings)
    else:
        files = [Path(match) for match in set(glob.glob(path, recursive=True)) if Path(match).is_file()]
    if not files:
        what = f"no {' or '.join(endings)} file in this folder" if found.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; expected a file, a folder of {' or '.join(endings)} files, or a glob")
    files.sort()
    check_shards(files)
    check_copies(files)
    return files


def _of_rows(files: Iterable[Path], endings: Sequence[str]) -> list[Path]:
    return [file for file in files if ending_of(file) in endings and file.name not in ABOUT and file.is_file()]


def read_lines(path: str, *endings: str) -> Iterator[Line]:
    """Stream the rows of every file that a path means; one of another ending is read like the first.

    A folder that `datasets.save_to_disk` wrote is read as such, and so are several in a folder, which name their rows.
    """
    if folders := saved_folders(Path(path)):
        for folder in folders:
            yield from (line._replace(name=folder.name) for line in saved_lines(folder))
        return
    for file in find_files(path, endings):
        ending = ending_of(file)
        if ending not in READERS and file.suffix.lower() in COMPRESSED:
            raise DataError(
                f"{file}: its name does not say what is inside; expected one such as {file.stem}{endings[0]}{file.suffix}"
            )
        yield from named(READERS[ending if ending in READERS else endings[0]](file), file, path)


def saved_folders(folder: Path) -> list[Path]:
    """The saved data sets that a folder is or holds, in name order."""
    try:
        if not folder.is_dir():
            return []
    except OSError:  # a name that no folder can have, which is told of the file
        return []
    return [folder] if is_saved(folder) else sorted(inner for inner in folder.iterdir() if is_saved(inner))


def named(lines: Iterator[Line], file: Path, path: str) -> Iterator[Line]:
    """Name rows by the folder of their file, where that is one of several in the folder meant, as one for each language."""
    root = Path(path)
    if not root.is_dir() or file.parent == root:
        return lines
    return (line._replace(name=file.parent.name) for line in lines)
