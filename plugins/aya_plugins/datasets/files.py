"""Rows of JSONL and Parquet files, each with its place, so that an error can point at it."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import DataError

BATCH = 1024
"""Rows of a Parquet file held in memory at once."""


class Line(NamedTuple):
    """One row as it was found.

    place: file and line, for messages. name: the file's, without its ending. number: from 1 in each file.
    """

    place: str
    name: str
    number: int
    row: Mapping[str, Any]


def find_files(path: str, endings: tuple[str, ...]) -> list[Path]:
    """List the files that a path means, in name order: itself, those of a folder, or the matches of a glob.

    endings: which files of a folder count. Raises DataError when there is none.
    """
    found = Path(path)
    if found.is_file():
        return [found]
    if found.is_dir():
        files = [file for file in found.iterdir() if file.suffix in endings and file.is_file()]
    else:
        files = [Path(match) for match in glob.glob(path, recursive=True) if Path(match).is_file()]
    if not files:
        what = f"no {' or '.join(endings)} file in this folder" if found.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; expected a file, a folder of {' or '.join(endings)} files, or a glob")
    return sorted(files)


def json_lines(file: Path) -> Iterator[Line]:
    """Stream the objects of a JSONL file; blank lines hold no row. Raises DataError with file and line."""
    with file.open("rb") as stream:  # bytes: text mode would lose the number of a line that is not UTF-8
        for number, raw in enumerate(stream, start=1):
            place = f"{file}:{number}"
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8"
                ) from None
            if not text:
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise DataError(f"{place}: not JSON ({error}); expected one object on each line") from None
            if "\\u" in text and "\\ud" in text.lower() and not _is_text(row):
                raise DataError(
                    f"{place}: holds half a character (\\ud800 to \\udfff without its other half); mend the text"
                )
            if not isinstance(row, dict):
                raise DataError(f"{place}: a JSON {type(row).__name__}; expected one object on each line")
            yield Line(place, file.stem, number, row)


def _is_text(row: Any) -> bool:
    """Whether everything in a row can be written as UTF-8."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def parquet_lines(file: Path) -> Iterator[Line]:
    """Stream the rows of a Parquet file, numbered from 1. Raises DataError for a file that is not whole."""
    import pyarrow
    import pyarrow.parquet

    number, name = 0, file.stem
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(f"{file}:{number}", name, number, row)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a whole Parquet file ({error}); make it again") from None


READERS: Mapping[str, Callable[[Path], Iterator[Line]]] = {".jsonl": json_lines, ".parquet": parquet_lines}
"""How a file is read, by its ending."""


def read_lines(path: str, *endings: str) -> Iterator[Line]:
    """Stream the rows of every file that a path means; one of another ending is read like the first."""
    for file in find_files(path, endings):
        yield from READERS[file.suffix if file.suffix in endings else endings[0]](file)
