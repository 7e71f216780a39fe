"""Rows as files for other tools: JSONL, or Parquet. A file appears when it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from aya_core.api import (
    Artifact,
    Columns,
    Completion,
    DataError,
    Demonstration,
    Judged,
    Preference,
    Prompt,
    RowsWriter,
    make_folder,
    read_rows,
    writing_file,
)

RECORDS: Mapping[str, type[Any]] = {
    "prompts": Prompt, "demonstrations": Demonstration, "preferences": Preference, "groups": Demonstration,
    "completions": Completion, "judged": Judged,
}  # fmt: skip
"""What rows an artifact holds, by its kind."""

OBJECTS = ("meta", "details")
"""Columns that hold JSON."""

TURNS = ("prompt", "completion", "chosen", "rejected")
"""Columns that hold messages."""

PARQUET = ".parquet"


def write_artifact(artifact: Artifact, out: Path | None) -> int:
    """Write the rows of an artifact; return how many. See `write_records`."""
    record = RECORDS[artifact.kind]
    return write_records(read_rows(artifact.payload, record), record, out, OBJECTS)


def write_records(rows: Iterable[Columns], record: type[Any], out: Path | None, objects: Sequence[str]) -> int:
    """Write rows as JSON objects, one a line, in UTF-8, or as Parquet where the file's name ends so; return how many.

    out: a file, or None for stdout. objects: columns that hold JSON, which are objects in JSONL. Raises DataError where nothing can be
    written.
    """
    if out is None:
        return _write(rows, sys.stdout, objects)
    if out.is_dir():
        raise DataError(f"{out}: is a folder; expected the name of a file to write")
    try:
        make_folder(out.parent)
        with writing_file(out) as partial:
            if out.suffix.lower() == PARQUET:
                with RowsWriter(partial, record) as writer:
                    for row in rows:
                        writer.write(row)
                return writer.count
            with partial.open("w", encoding="utf-8") as file:
                return _write(rows, file, objects)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None


def _write(rows: Iterable[Columns], file: TextIO, objects: Sequence[str]) -> int:
    count = 0
    for record in rows:
        row = {name: value for name, value in record.to_row().items() if value is not None or name not in record.rare}
        row |= {name: json.loads(row[name]) for name in (*objects, "tools") if row.get(name)}
        if record.is_rare:  # turns hold all that they hold by its own name, as other tools read them
            row |= {name: [whole(turn) for turn in row[name]] for name in TURNS if row.get(name)}
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count


def whole(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as it was before it was written: what it holds beside its text under names of its own."""
    more = {name: value for name, value in turn.items() if name != "more"}
    return {**more, **json.loads(turn["more"])} if turn.get("more") else more
