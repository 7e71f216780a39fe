"""Rows of JSONL, JSON, CSV, TSV, Parquet and Arrow files, each with its place, so that an error can point at it.

Files of text may be compressed (.gz, .zst). All are streamed.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from aya_core.contract.compressed import check_fetched, ending_of, opened, opened_text, stem_of
from aya_core.contract.errors import DataError
from aya_core.contract.json_text import DEEPEST, is_deep, parse_json

BATCH = 1024
"""Rows of a Parquet file held in memory at once."""

LONGEST_LINE = 1 << 28
"""Bytes of a line of JSONL: a compressed file of a few kilobytes may hold one of any length."""

LONGEST_CELL = 2**31 - 1
"""Characters; the csv module of Python refuses more than 131,072 unless told, and answers may be longer."""


HALF = "holds half a character (\\ud800 to \\udfff without its other half); mend the text"
"""What is said of a text that cannot be written as UTF-8."""


class Line(NamedTuple):
    """One row as it was found.

    place: file and line, for messages. name: the file's, without its ending. number: from 1 in each file. is_filled: whether each of its
    structs has the keys of all others in the file, with nothing where it had none.
    """

    place: str
    name: str
    number: int
    row: Mapping[str, Any]
    is_filled: bool = False


def json_lines(file: Path) -> Iterator[Line]:
    """Stream the objects of a JSONL file; blank lines hold no row. Raises DataError with file and line."""
    name = stem_of(file)
    with opened(file) as stream:  # bytes: text mode would lose the number of a line that is not UTF-8
        for number, raw in enumerate(iter(partial(stream.readline, LONGEST_LINE), b""), start=1):
            place = f"{file}:{number}"
            if len(raw) == LONGEST_LINE:
                raise DataError(
                    f"{place}: a line of more than {LONGEST_LINE >> 20} MB; expected one object on each line"
                )
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8"
                ) from None
            if not text:
                continue
            try:
                row = parse_json(text)
            except ValueError as error:
                raise DataError(f"{place}: not JSON ({error}); expected one object on each line") from None
            if "\\u" in text and "\\ud" in text.lower() and not _is_text(row):
                raise DataError(f"{place}: {HALF}")
            if not isinstance(row, dict):
                hint = ""
                if isinstance(row, list):
                    hint = "; a file that is one JSON array is read if its name ends in .json"
                raise DataError(f"{place}: a JSON {type(row).__name__}; expected one object on each line{hint}")
            yield Line(place, name, number, row)


def _is_text(row: Any) -> bool:
    """Whether everything in a row can be written as UTF-8."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def json_array(file: Path) -> Iterator[Line]:
    """Stream the objects of a JSON array, numbered from 1; a file of one object on each line is read as JSONL."""
    name, number = stem_of(file), 0
    with opened_text(file) as stream:
        elements = _elements(file, stream)
        if next(elements) is _NO_ARRAY:
            yield from json_lines(file)
            return
        for row in elements:
            number += 1
            place = f"{file}: element {number}"
            if not isinstance(row, dict):
                raise DataError(f"{place}: a JSON {type(row).__name__}; expected an object")
            if not _is_text(row):
                raise DataError(f"{place}: {HALF}")
            yield Line(place, name, number, row)


CHUNK = 1 << 16
"""Characters of a JSON array that are read at once; more where one element is longer."""

_NO_ARRAY, _ARRAY = object(), object()

_SPACE = re.compile(r"\s*")


def _elements(file: Path, stream: TextIO) -> Iterator[Any]:
    """Yield whether the text is an array, then its elements, holding one at a time, or a chunk of small ones."""
    parse = json.JSONDecoder().raw_decode
    text = ""
    while not text and (more := _more(file, stream, "", CHUNK)):
        text = more.lstrip()
    if not text.startswith("["):
        yield _NO_ARRAY
        return
    yield _ARRAY
    at, number, size, is_whole = 1, 1, CHUNK, False
    while True:
        if at > len(text) // 2:  # not at each element: after a long one, many short ones may be held
            text, at = text[at:], 0
        at = _after_space(text, at)
        if text.startswith("]", at):
            if (text[at + 1 :] + _more(file, stream, "", CHUNK)).strip():
                raise DataError(f"{file}: more text after the end of the array; expected one array of objects")
            return
        try:
            found, end = parse(text, at)
            # what ends with the text that is held may go on: a number, or the comma after it
            is_known = is_whole or end < len(text)
            problem = ""
        except RecursionError as error:  # lists in lists, thousands deep
            is_known, problem = True, str(error)
        except ValueError as error:
            is_known, problem = is_whole, str(error)
        if not is_known:
            longer = _more(file, stream, text, size)
            if len(longer) - at > LONGEST_LINE:
                raise DataError(
                    f"{file}: element {number}: longer than {LONGEST_LINE >> 20} million characters, or not JSON "
                    f"({problem}); expected an array of objects"
                )
            is_whole, text, size = len(longer) == len(text), longer, 2 * size
            continue
        if problem:
            raise DataError(f"{file}: element {number}: not JSON ({problem}); expected an array of objects")
        if is_deep(text, at, end):
            raise DataError(f"{file}: element {number}: lists and objects inside one another, more than {DEEPEST} deep")
        yield found
        at, number, size = _after_space(text, end), number + 1, CHUNK
        while at == len(text) and (more := _more(file, stream, "", CHUNK)):
            text, at = more, _after_space(more, 0)
        if text.startswith(",", at):
            at += 1
        elif not text.startswith("]", at):
            raise DataError(
                f"{file}: the array does not go on after element {number - 1} with a comma, nor does it end; is the file whole?"
            )


def _after_space(text: str, at: int) -> int:
    """The first place from one on at which there is no white space."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _more(file: Path, stream: TextIO, text: str, size: int) -> str:
    try:
        return text + stream.read(size)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error.reason}); save the file as UTF-8") from None


def csv_lines(file: Path, delimiter: str | None = None) -> Iterator[Line]:
    """Stream the rows of a delimited file under the names in its header, quoted as spreadsheets and pandas do; all cells are text.

    delimiter: a tab for .tsv and a comma for all others, unless given. Raises DataError with the line at which a row starts.
    """
    csv.field_size_limit(LONGEST_CELL)
    cut = delimiter or ("\t" if ending_of(file) == ".tsv" else ",")
    name = stem_of(file)
    with opened_text(file, newline="") as stream:
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
            yield Line(place, name, number, dict(zip(header, cells, strict=True)))


ODD_TABLES = (OSError, ValueError, NotImplementedError, TypeError, KeyError, OverflowError)
"""What pyarrow raises of files that are not whole, and of cells that Python cannot hold: text that is not UTF-8, the year 300,000."""


def parquet_lines(file: Path) -> Iterator[Line]:
    """Stream the rows of a Parquet file, numbered from 1. Raises DataError for a file that is not whole."""
    import pyarrow
    import pyarrow.parquet

    check_fetched(file)
    number, name = 0, file.stem
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(f"{file}:{number}", name, number, row, is_filled=True)
    except ODD_TABLES as error:
        raise DataError(f"{file}: not a whole Parquet file ({error}); make it again") from None


def arrow_lines(file: Path) -> Iterator[Line]:
    """Stream the rows of an Arrow file, as `datasets` saves them, numbered from 1. Raises DataError for one that is not whole."""
    import pyarrow
    import pyarrow.ipc

    check_fetched(file)
    number, name = 0, file.stem
    try:
        with pyarrow.memory_map(str(file)) as source:
            try:
                batches: Any = pyarrow.ipc.open_stream(source)
            except pyarrow.ArrowInvalid:
                held = pyarrow.ipc.open_file(source)
                batches = (held.get_batch(place) for place in range(held.num_record_batches))
            for batch in batches:
                for start in range(0, batch.num_rows, BATCH):
                    for row in batch.slice(start, BATCH).to_pylist():
                        number += 1
                        yield Line(f"{file}:{number}", name, number, row, is_filled=True)
    except ODD_TABLES as error:
        raise DataError(f"{file}: not a whole Arrow file ({error}); make it again") from None


READERS: Mapping[str, Callable[[Path], Iterator[Line]]] = {
    ".jsonl": json_lines, ".json": json_array, ".csv": csv_lines, ".tsv": csv_lines, ".parquet": parquet_lines,
    ".arrow": arrow_lines,
}  # fmt: skip
"""How a file is read, by the ending that `ending_of` gives."""
