"""Files that are one table: shards such as test-00000-of-00002.parquet, and copies, whose rows would count twice."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from aya_core.api import DataError, find_language

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<count>\d+)")


class Whole(NamedTuple):
    """The table that a file is, or is a shard of. shards: how many; 0 where the file is all of it."""

    folder: Path
    stem: str
    ending: str
    shards: int


def whole_of(file: Path) -> Whole:
    """Return the table that a file is a shard of."""
    if match := _SHARD.fullmatch(file.stem):
        return Whole(file.parent, match["stem"], file.suffix, int(match["count"]))
    return Whole(file.parent, file.stem, file.suffix, 0)


def check_shards(files: Iterable[Path]) -> None:
    """Raise DataError where shards of a table are missing."""
    tables: dict[Whole, dict[int, Path]] = {}
    for file in files:
        if match := _SHARD.fullmatch(file.stem):
            tables.setdefault(whole_of(file), {})[int(match["number"])] = file
    for whole, shards in tables.items():
        numbers = range(1, whole.shards + 1) if whole.shards in shards else range(whole.shards)
        missing = [number for number in numbers if number not in shards]
        if missing:
            raise DataError(
                f"{next(iter(shards.values()))}: shard {', '.join(map(str, missing[:5]))} of {whole.shards} is missing beside it; get all "
                "shards, or name the files that are meant one by one"
            )


def check_copies(files: Sequence[Path]) -> None:
    """Raise DataError where two files of a folder hold the same table: one name with two endings, shards beside the whole, equal content.

    Files that are named by languages may be equal: de.jsonl is not fr.jsonl.
    """
    by_name: dict[tuple[Path, str], Path] = {}
    by_size: dict[tuple[Path, int], list[Path]] = {}
    for file in files:
        whole = whole_of(file)
        other = by_name.setdefault((whole.folder, whole.stem), file)
        if whole_of(other) != whole:
            raise DataError(_twice(other, file, "are one table twice, by their names"))
        if not whole.shards and (size := file.stat().st_size) and find_language(file.stem) is None:
            by_size.setdefault((file.parent, size), []).append(file)
    for alike in by_size.values():
        for one, other in combinations(alike, 2):
            if filecmp.cmp(one, other, shallow=False):
                raise DataError(_twice(one, other, "have the same content"))


def _twice(one: Path, other: Path, why: str) -> str:
    return f"{other} and {one} {why}; rows would count twice: remove one, or name the files that are meant"
