"""Rows of JSONL, JSON, CSV, TSV and Parquet files, each with its place, so that an error can point at it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.contract.errors import DataError

BATCH = 1024
"""Rows of a Parquet file held in memory at once."""

LONGEST_CELL = 2**31 - 1
"""Characters; the csv module of Python refuses more than 131,072 unless told, and answers may be longer."""


HALF = "holds half a character (\\ud800 to \\udfff without its other half); mend the text"
"""What is said of a text that cannot be written as UTF-8."""


class Line(NamedTuple):
    """One row as it was found.

    place: file and line, for messages. name: the file's, without its ending. number: from 1 in each file.
    """

    place: str
    name: str
    number: int
    row: Mapping[str, Any]


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
            except (ValueError, RecursionError) as error:  # lists in lists, thousands deep
                raise DataError(f"{place}: not JSON ({error}); expected one object on each line") from None
            if "\\u" in text and "\\ud" in text.lower() and not _is_text(row):
                raise DataError(f"{place}: {HALF}")
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


def json_array(file: Path) -> Iterator[Line]:
    """Read the objects of a JSON array, numbered from 1; a file of one object on each line is read as JSONL."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8") from None
    if not text.lstrip().startswith("["):
        yield from json_lines(file)
        return
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON ({error}); expected an array of objects") from None
    is_doubtful = "\\u" in text and "\\ud" in text.lower()
    for number, row in enumerate(rows, start=1):
        place = f"{file}: element {number}"
        if not isinstance(row, dict):
            raise DataError(f"{place}: a JSON {type(row).__name__}; expected an object")
        if is_doubtful and not _is_text(row):
            raise DataError(f"{place}: {HALF}")
        yield Line(place, file.stem, number, row)


def csv_lines(file: Path, delimiter: str | None = None) -> Iterator[Line]:
    """Stream the rows of a delimited file under the names in its header, quoted as spreadsheets and pandas do; all cells are text.

    delimiter: a tab for .tsv and a comma for all others, unless given. Raises DataError with the line at which a row starts.
    """
    csv.field_size_limit(LONGEST_CELL)
    cut = delimiter or ("\t" if file.suffix.lower() == ".tsv" else ",")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=cut, strict=True)
        header: list[str] | None = None
        number, start = 0, 1
        while True:
            place = f"{file}:{start}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise DataError(
                    f"{place}: not a row of delimited text ({error}); expected cells apart by {cut!r}"
                ) from None
            except UnicodeDecodeError as error:
                raise DataError(f"{place}: not UTF-8 ({error.reason}) from here on; save the file as UTF-8") from None
            start = reader.line_num + 1
            if cells is None:
                return
            if not any(cells):
                continue
            if header is None:
                header = cells
                if len(set(header)) < len(header):
                    twice = next(name for name in header if header.count(name) > 1)
                    raise DataError(f"{place}: the header names '{twice}' twice; expected each column once")
                continue
            if len(cells) != len(header):
                raise DataError(f"{place}: {len(cells)} cells; expected {len(header)}, as in the header")
            number += 1
            yield Line(place, file.stem, number, dict(zip(header, cells, strict=True)))


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


READERS: Mapping[str, Callable[[Path], Iterator[Line]]] = {
    ".jsonl": json_lines, ".json": json_array, ".csv": csv_lines, ".tsv": csv_lines, ".parquet": parquet_lines,
}  # fmt: skip
"""How a file is read, by its ending."""
