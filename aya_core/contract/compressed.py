"""Files of text as bytes, also from .gz and .zst, and what a file is whose name says something else."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from aya_core.contract.errors import DataError

COMPRESSED = (".gz", ".zst")
"""Endings of compressed files; the ending before says what is inside, as in rows.jsonl.gz."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BEGINNINGS = {
    _GZIP: "compressed by gzip", _ZSTD: "compressed by zstd", b"PK\x03\x04": "a zip archive", b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz", b"PAR1": "a Parquet file", b"ARROW1": "an Arrow file", b"SQLite format 3": "an SQLite database",
}  # fmt: skip
_POINTER = b"version https://git-lfs.github.com/spec/"
_ENDINGS = {"a Parquet file": ".parquet", "an Arrow file": ".arrow"}


def ending_of(file: Path) -> str:
    """The ending that says how a file is read, in small letters: .jsonl of rows.jsonl and of rows.jsonl.gz."""
    *_, before, last = ("", "", *(suffix.lower() for suffix in file.suffixes))
    return before if last in COMPRESSED else last


def stem_of(file: Path) -> str:
    """The name of a file without the ending that `ending_of` gives, compressed or not."""
    return Path(file.stem).stem if file.suffix.lower() in COMPRESSED else file.stem


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file of text for reading bytes, decompressed as its name says.

    Raises DataError for an empty file, one that is not what its name says, and, while it is read, for one that is not whole.
    """
    _check_beginning(file)
    compression = file.suffix.lower()
    try:
        with _open(file, compression) as stream:
            yield stream
    except (EOFError, zlib.error, OSError) as error:
        what = f"not a whole {compression} file" if compression in COMPRESSED else "cannot be read"
        raise DataError(f"{file}: {what} ({error}); download or write it again") from None


@contextmanager
def opened_text(file: Path, *, newline: str | None = None) -> Iterator[TextIO]:
    """Open a file of text for reading as UTF-8, as `opened` does. newline: as for `open`."""
    with opened(file) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline) as text:
        yield text


def check_fetched(file: Path) -> None:
    """Raise DataError for the pointer that Git LFS leaves in place of a large file that was not fetched."""
    with file.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise DataError(
                f"{file}: the pointer that Git LFS leaves for a file that was not fetched; run `git lfs pull` there"
            )


def _open(file: Path, compression: str) -> BinaryIO:
    if compression == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if compression == ".zst":
        import pyarrow  # the standard library of Python 3.11 reads no zstd

        return cast(BinaryIO, io.BufferedReader(pyarrow.input_stream(str(file), compression="zstd"), 1 << 16))
    return file.open("rb")


def _check_beginning(file: Path) -> None:
    """Compare a file's first bytes with its name."""
    check_fetched(file)
    with file.open("rb") as stream:
        first = stream.read(16)
    if not first:
        raise DataError(f"{file}: the file is empty; expected at least one row")
    expected = {".gz": _GZIP, ".zst": _ZSTD}.get(file.suffix.lower())
    if expected is not None and not first.startswith(expected):
        raise DataError(
            f"{file}: not a {file.suffix.lower()} file, whatever its name says; remove that ending if it is plain text"
        )
    if expected is not None:
        return
    for beginning, what in _BEGINNINGS.items():
        if first.startswith(beginning):
            ending = {_GZIP: ".gz", _ZSTD: ".zst"}.get(beginning)
            advice = f"name it {file.name}{ending}" if ending else "unpack it, or save it as JSONL"
            if what in _ENDINGS:
                advice = f"let its name end in {_ENDINGS[what]}"
            raise DataError(f"{file}: {what}, which its name does not say; {advice}")
