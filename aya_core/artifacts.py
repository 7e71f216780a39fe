"""Artifacts: immutable folders that hold one node's finished work.

`artifact.json` says what made it (fingerprint, inputs, settings, plugin versions, seed, timings) and lists every file
of the payload with its size and SHA-256. A folder gets its final name only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aya_core.errors import ArtifactError, DataError
from aya_core.records import Record

if TYPE_CHECKING:
    import pyarrow

FORMAT = 1
MANIFEST = "artifact.json"
PAYLOAD = "payload"
ROW_GROUP = 8192
"""Rows held in memory while a table is written."""

READ_ROWS = 1024
"""Rows held in memory while a table is read; several tables are read side by side."""

Row = TypeVar("Row", bound=Record)


@dataclass(frozen=True)
class Artifact:
    """A finished node. payload: the folder with its files; content: a hash of those files alone, whatever made them."""

    folder: Path
    node: str
    kind: str
    fingerprint: str
    content: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    plugins: Mapping[str, str]
    seed: int
    seconds: float
    measures: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]] = field(repr=False)
    format: int = FORMAT

    @property
    def payload(self) -> Path:
        """The folder that later nodes read."""
        return self.folder / PAYLOAD


def stable_hash(value: Any) -> str:
    """Hash anything that JSON can hold; equal values give equal hashes on any machine. 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def replace_text(file: Path, text: str) -> None:
    """Write a small file in one step: killed at any moment, the old text or the new one is there."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(file)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """List every file below a folder with its size in bytes and its hash, several at a time."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(file_hash, paths))
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, hashes, strict=True)
    }


def content_of(path: Path) -> str:
    """Hash a file or folder by content: names inside a folder count, where the folder stands does not."""
    if path.is_file():
        return file_hash(path)
    return stable_hash({name: entry["sha256"] for name, entry in describe_files(path).items()})


def begin(folder: Path, *, keep_payload: bool = False) -> Path:
    """Open the place beside `folder` where its payload is made.

    Scratch work left there by a killed run is kept, a half-made payload only where the node goes on from it.
    """
    partial = folder.with_name(folder.name + ".partial")
    if not keep_payload:
        shutil.rmtree(partial / PAYLOAD, ignore_errors=True)
    (partial / PAYLOAD).mkdir(parents=True, exist_ok=True)
    return partial


def finish(
    folder: Path, *, node: str, kind: str, fingerprint: str, inputs: Mapping[str, str], settings: Mapping[str, Any],
    plugins: Mapping[str, str], seed: int, seconds: float, measures: Mapping[str, Any],
) -> Artifact:  # fmt: skip
    """Describe the payload that lies beside `folder`, and give it its final name in one step."""
    partial = begin(folder, keep_payload=True)
    files = describe_files(partial / PAYLOAD)
    content = stable_hash({name: entry["sha256"] for name, entry in files.items()})
    artifact = Artifact(
        folder, node, kind, fingerprint, content, inputs, settings, plugins, seed, seconds, measures, files
    )
    written = {name: value for name, value in asdict(artifact).items() if name != "folder"}
    unfinished = partial / f".{MANIFEST}.partial"
    with unfinished.open("w") as file:
        json.dump(written, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(partial / MANIFEST)
    for scratch in partial.iterdir():  # after the manifest, which says from now on what made the payload
        if scratch.name not in (PAYLOAD, MANIFEST, "log.jsonl"):
            shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
    partial.rename(folder)
    return artifact


def load(folder: Path) -> Artifact:
    """Read what an artifact says of itself, without looking at its payload. Raises ArtifactError."""
    try:
        written = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST} here; expected the folder of an artifact") from None
    except ValueError as error:
        raise ArtifactError(f"{folder / MANIFEST}: damaged ({error}); delete {folder} to make it again") from None
    if isinstance(written, dict) and written.get("format", FORMAT) != FORMAT:
        raise ArtifactError(
            f"{folder}: artifact format {written['format']}, this version reads {FORMAT}; use another --out"
        )
    try:
        return Artifact(folder=folder, **written)
    except TypeError as error:
        raise ArtifactError(f"{folder / MANIFEST}: damaged ({error}); delete {folder} to make it again") from None


def verify(artifact: Artifact) -> None:
    """Check every file of the payload against the manifest. Raises ArtifactError naming the first that differs."""
    remedy = f"delete {artifact.folder} and run again to make it anew"
    for name, entry in artifact.files.items():
        path = artifact.payload / name
        if not path.is_file():
            raise ArtifactError(f"{path}: missing from the artifact of '{artifact.node}'; {remedy}")
        if path.stat().st_size != entry["bytes"]:
            raise ArtifactError(f"{path}: {path.stat().st_size} bytes, its manifest says {entry['bytes']}; {remedy}")
    found = describe_files(artifact.payload)
    for name, entry in artifact.files.items():
        if found[name]["sha256"] != entry["sha256"]:
            raise ArtifactError(f"{artifact.payload / name}: changed since it was written; {remedy}")
    if unknown := sorted(set(found) - set(artifact.files)):
        raise ArtifactError(f"{artifact.payload / unknown[0]}: not part of the artifact of '{artifact.node}'; {remedy}")


class RowsWriter(Generic[Row]):
    """Writes records to a Parquet file (zstd), a row group at a time. A context manager; the file is whole after it."""

    def __init__(self, file: Path, record: type[Row]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._schema = pyarrow.schema([(column, _arrow_type(kind)) for column, kind in record.columns.items()])
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._group: list[Row] = []
        self._names = list(record.columns)
        self.count = 0

    def __enter__(self) -> RowsWriter[Row]:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        self._writer.close()

    def write(self, row: Row) -> None:
        """Add a record."""
        self._group.append(row)
        self.count += 1
        if len(self._group) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._group:
            values = zip(*[row.to_values() for row in self._group], strict=True)
            columns = dict(zip(self._names, map(list, values), strict=True))
            self._writer.write_table(pyarrow.Table.from_pydict(columns, schema=self._schema))
            self._group = []


def write_rows(folder: Path, record: type[Row], rows: Iterable[Row], name: str = "rows.parquet") -> int:
    """Write records to a Parquet file (zstd), a row group at a time; return how many."""
    with RowsWriter(folder / name, record) as writer:
        for row in rows:
            writer.write(row)
    return writer.count


def is_whole(file: Path) -> bool:
    """Tell whether a Parquet file is there and was written to its end."""
    import pyarrow
    import pyarrow.parquet

    try:
        pyarrow.parquet.read_metadata(file)
    except (pyarrow.ArrowInvalid, OSError):
        return False
    return True


def read_rows(folder: Path, record: type[Row]) -> Iterator[Row]:
    """Stream the records of a payload folder, shards in name order, or of one file.

    Raises DataError for a folder without such rows.
    """
    import pyarrow.parquet

    folder = Path(folder)
    shards = [folder] if folder.is_file() else sorted(folder.glob("*.parquet"))
    if not shards:
        raise DataError(f"{folder}: no rows here; expected Parquet files with the columns {', '.join(record.columns)}")
    names = list(record.columns)
    for shard in shards:
        try:
            with pyarrow.parquet.ParquetFile(shard) as file:
                if missing := sorted(set(record.columns) - set(file.schema_arrow.names)):
                    raise DataError(f"{shard}: no column '{missing[0]}'; expected rows of {record.__name__}")
                for batch in file.iter_batches(READ_ROWS, columns=names):
                    for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                        yield record.from_values(*values)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{shard}: not a whole Parquet file ({error}); make it again") from None


def count_rows(folder: Path) -> int:
    """How many rows a payload folder, or one file of it, holds, from the footers of the files alone."""
    import pyarrow.parquet

    shards = [folder] if folder.is_file() else list(folder.glob("*.parquet"))
    return sum(pyarrow.parquet.read_metadata(shard).num_rows for shard in shards)


def _arrow_type(kind: str) -> pyarrow.DataType:
    import pyarrow

    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    return {
        "string": pyarrow.string(),
        "float": pyarrow.float64(),
        "int": pyarrow.int64(),
        "strings": pyarrow.list_(pyarrow.string()),
        "messages": pyarrow.list_(message),
    }[kind]
