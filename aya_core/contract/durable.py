"""The one way to write: beside, flushed to disk, renamed.

A rename alone survives a kill of the process. It does not survive the loss of power: the new name may be on disk before the
bytes are, and then stands for an empty file. So a file is flushed before it is renamed, and the folder after it.

A *sealed* file holds a JSON object whose last member is the hash of all the bytes before it, so that a flipped bit, an edited
value or a cut are found before anything is parsed. Text whose format has comments is sealed by one in its last line.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aya_core.contract.errors import DamageError, DataError

PARTIAL = ".partial"
"""Ends the names of files and folders that are being made."""

DAMAGED = ".damaged"
"""Ends the names of files and folders that were found damaged and set aside."""

_SEAL = ',\n "sha256": "'
_TEXT_SEAL = "# sha256 of the lines above: "
_END = '"\n}\n'


def write_file(file: Path, data: str | bytes) -> None:
    """Write a file whole: killed or without power at any moment, the old content or the new one is there."""
    with writing_file(file) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def writing_file(file: Path) -> Iterator[Path]:
    """Give a name beside `file` to write to. It is flushed and renamed at the end, and removed where an error is raised.

    Several processes may write the same file: one of them comes last.
    """
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        yield partial
        flush(partial)
        rename(partial, file)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # of a full disk, which names no file
            error.filename = str(file)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def rename(partial: Path, path: Path) -> None:
    """Give what is flushed its final name, so that the name survives the loss of power."""
    partial.rename(path)
    for folder in dict.fromkeys((path.parent, partial.parent)):
        flush_names(folder)


def flush_names(folder: Path) -> None:
    """Have the names in a folder written to disk, not what they stand for."""
    _flush_one(folder)


def flush(path: Path) -> None:
    """Have a file, or a folder with all that it holds, written to disk."""
    if not path.is_dir():
        _flush_one(path)
        return
    files, folders = [], []
    for inside, _, names in os.walk(path):
        folders.append(Path(inside))
        files += [Path(inside, name) for name in names]
    if len(files) == 1:
        _flush_one(files[0])
    elif files:
        with ThreadPoolExecutor(min(8, len(files))) as pool:  # disks take several at a time
            list(pool.map(_flush_one, files))
    for folder in reversed(folders):
        _flush_one(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; a new one survives the loss of power."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_names(folder.parent)


def make_output_folder(folder: Path) -> None:
    """Make the folder that a user named for what is made. Raises DataError where it cannot be made or nothing can be written there."""
    try:
        make_folder(folder)
    except OSError as error:
        raise DataError(f"{folder}: this folder cannot be made ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: nothing can be written to this folder; choose another, or change its permissions")


def write_sealed(file: Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON object with the hash of its own bytes. facts: at least one."""
    body = json.dumps(facts, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_file(file, f"{body}{_SEAL}{_seal_of(body.encode())}{_END}")


def read_sealed(file: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote. Raises DamageError where a byte of it differs, FileNotFoundError where there is none."""
    body, seal, rest = file.read_bytes().rpartition(_SEAL.encode())
    if not seal or rest != (_seal_of(body) + _END).encode():
        raise DamageError(f"{file}: damaged: it does not end with the hash of what stands before it")
    facts: dict[str, Any] = json.loads(body + b"\n}")
    return facts


def is_sealed(file: Path) -> bool:
    """Whether a file holds what `write_sealed` writes, whole or not."""
    return _SEAL.encode() in file.read_bytes()


def write_sealed_text(file: Path, text: str) -> None:
    """Write lines of a format in which `#` begins a comment, and as the last line a comment with the hash of those before it."""
    write_file(file, f"{text}{_TEXT_SEAL}{_seal_of(text.encode())}\n")


def check_sealed_text(file: Path) -> None:
    """Raise DamageError for a file that is not what `write_sealed_text` wrote, FileNotFoundError where there is none."""
    text, seal, rest = file.read_bytes().rpartition(_TEXT_SEAL.encode())
    if not seal or rest != f"{_seal_of(text)}\n".encode():
        raise DamageError(f"{file}: damaged: its last line is not the hash of those before it")


def set_aside(path: Path, folder: Path | None = None) -> Path:
    """Rename what is damaged, so that it can be looked at and is not used; return its new name.

    folder: on the same disk, where it goes; beside `path` if None.
    """
    folder = folder or path.parent
    make_folder(folder)
    count = 0
    while (aside := folder / f"{path.name}{DAMAGED}{count or ''}").exists():
        count += 1
    rename(path, aside)
    return aside


def _seal_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _flush_one(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush this kind of thing, a folder or a pipe
            raise
    finally:
        os.close(opened)
