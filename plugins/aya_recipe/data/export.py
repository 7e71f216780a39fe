"""`aya export`: rows of a run as JSONL."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from aya_core.api import (
    Artifact,
    ArtifactError,
    Completion,
    DataError,
    Demonstration,
    Judged,
    Preference,
    Prompt,
    RunRecord,
    did_you_mean,
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


@click.command(name="export")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("name", metavar="NAME")
@click.argument("out", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
def command(folder: Path, name: str, out: Path | None) -> None:
    """Write the rows NAME of the run in DIR, such as arbitrage.pairs, to FILE as JSONL; to stdout without FILE."""
    record = RunRecord.read(folder)
    rows = {id: step.kind for id, step in record.steps.items() if step.kind in RECORDS}
    if name not in rows:
        raise DataError(f"no rows named '{name}' in {folder}; {did_you_mean(name, rows)}")
    if name in record.damaged:
        raise ArtifactError(record.damaged[name])
    if name not in record.standing:
        raise DataError(f"'{name}' is not made yet in {folder}; `aya run` or `aya arbitrate` makes it")
    write_jsonl(record.standing[name], out)


def write_jsonl(artifact: Artifact, out: Path | None) -> int:
    """Write the rows of an artifact as JSON objects, one a line, in UTF-8; return how many. A file appears when it is whole."""
    if out is None:
        return _write(artifact, sys.stdout)
    if out.is_dir():
        raise DataError(f"{out}: is a folder; expected the name of a file to write")
    try:
        make_folder(out.parent)
        with writing_file(out) as partial, partial.open("w", encoding="utf-8") as file:
            count = _write(artifact, file)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None
    return count


def _write(artifact: Artifact, file: TextIO) -> int:
    count = 0
    for record in read_rows(artifact.payload, RECORDS[artifact.kind]):
        row = record.to_row()
        row |= {name: json.loads(row[name]) for name in OBJECTS if row.get(name)}
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count
