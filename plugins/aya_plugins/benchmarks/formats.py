"""Rows of delimited files, JSON and plain lines, each with its place; JSONL and Parquet are read as for any data set."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.api import (
    DataError,
    Line,
    arrow_lines,
    ending_of,
    json_array,
    json_lines,
    opened_text,
    parquet_lines,
    stem_of,
)

if TYPE_CHECKING:
    from aya_plugins.benchmarks.sources import Source


def _jsonl(file: Path, source: Source) -> Iterator[Line]:
    return json_lines(file)


def _parquet(file: Path, source: Source) -> Iterator[Line]:
    return parquet_lines(file)


def _arrow(file: Path, source: Source) -> Iterator[Line]:
    return arrow_lines(file)


def _json(file: Path, source: Source) -> Iterator[Line]:
    return json_array(file)


def _lines(file: Path, source: Source) -> Iterator[Line]:
    # an empty line in between stays: such files are aligned by line
    for number, text in enumerate(_text(file).rstrip("\n").split("\n"), start=1):
        yield Line(f"{file}:{number}", stem_of(file), number, {"text": text.removesuffix("\r")})


def _csv(file: Path, source: Source) -> Iterator[Line]:
    return _delimited(file, source, delimiter=",", strict=True)


def _tsv(file: Path, source: Source) -> Iterator[Line]:
    if source.is_tsv_quoted:
        return _delimited(file, source, delimiter="\t", skipinitialspace=True)
    return _delimited(file, source, delimiter="\t", quoting=csv.QUOTE_NONE)


def _delimited(file: Path, source: Source, **dialect: Any) -> Iterator[Line]:
    """Stream rows under the names of the header, or under those that the set has for files without one."""
    names: Sequence[str] | None = None
    with opened_text(file, newline="") as stream:
        reader = csv.reader(stream, **dialect)
        start = 1
        while True:
            place = f"{file}:{start}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise DataError(f"{place}: not a row of a {ending_of(file)[1:].upper()} file ({error})") from None
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file}: not UTF-8 ({error.reason}) after line {start}; save the file as UTF-8"
                ) from None
            if cells is None:
                return
            here, start = start, reader.line_num + 1
            if not any(cells):
                continue
            if names is None:
                if _is_header(cells, source):
                    names = cells
                    continue
                if not source.columns:
                    raise DataError(f"{place}: expected a header with the columns {', '.join(source.known)}")
                names = source.columns
            if len(cells) != len(names):
                raise DataError(f"{place}: {len(cells)} columns; expected {len(names)} ({', '.join(names)})")
            yield Line(place, stem_of(file), here, dict(zip(names, cells, strict=True)))


def _is_header(cells: Sequence[str], source: Source) -> bool:
    """Whether a file's first row names columns: at least two of those that the set has, if they are known."""
    return not source.known or len({source.aliases.get(cell, cell) for cell in cells} & set(source.known)) > 1


def _text(file: Path) -> str:
    try:
        with opened_text(file) as stream:
            return stream.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8") from None


LINES = (".txt", ".dev", ".devtest")
"""Endings of files of plain lines; FLORES-200 ends its files in the split. Other sets have none: such a file is no data."""

READERS: Mapping[str, Callable[[Path, Source], Iterator[Line]]] = {
    ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet, ".csv": _csv, ".tsv": _tsv, ".arrow": _arrow, **dict.fromkeys(LINES, _lines),
}  # fmt: skip
"""How a file is read, by its ending."""
