"""Artifacts: immutable folders that hold one node's finished work.

`artifact.json` says what made it (fingerprint, inputs, settings, plugin versions, seed, timings) and lists every file
of the payload with its size, modification time and SHA-256. It ends with a hash of itself. A folder gets its final name only
when all of it is whole and flushed to disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from aya_core.contract import durable
from aya_core.contract.errors import ArtifactError, DamageError, DataError
from aya_core.contract.hashes import Hashes, file_hash
from aya_core.contract.records import Columns
from aya_core.contract.visible import visible

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

FORMAT = 2
"""Of artifacts, and of what the runner itself decides about them."""

MANIFEST = "artifact.json"
"""The file of an artifact that says what it is, what made it and what it holds."""

PAYLOAD = "payload"
"""The folder of an artifact that holds what was made."""

ROW_GROUP = 8192
"""Rows held in memory while a table is written."""

READ_ROWS = 1024
"""Rows held in memory while a table is read; several tables are read side by side."""

Row = TypeVar("Row", bound=Columns)


@dataclass(frozen=True)
class Artifact:
    """A finished node. payload: the folder with its files; content: a hash of those files alone, whatever made them.

    Of what made it, `identity` (the settings that count), `code`, `seed` and `inputs` are what the fingerprint is of; `settings` and
    `plugins`, with their versions, stand there for the record.
    """

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
    code: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def payload(self) -> Path:
        """The folder that later nodes read."""
        return self.folder / PAYLOAD


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
"""Made once: rows are hashed by the ten thousand, and `json.dumps` would make an encoder for each."""


def stable_hash(value: Any) -> str:
    """Hash anything that JSON can hold; equal values give equal hashes on any machine. 64 hexadecimal digits."""
    return hashlib.sha256(_CANONICAL.encode(value).encode(errors="surrogatepass")).hexdigest()


def describe_files(folder: Path, hash_of: Callable[[Path], str] = file_hash) -> dict[str, dict[str, Any]]:
    """List every file below a folder with its size in bytes, its modification time and its hash, taken of several at a time."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(hash_of, paths))
    return {
        path.relative_to(folder).as_posix(): {**_state(path), "sha256": digest}
        for path, digest in zip(paths, hashes, strict=True)
    }


def _state(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def content_of(path: Path, hash_of: Callable[[Path], str] = file_hash) -> str:
    """Hash a file or folder by content: names inside a folder count, where the folder stands does not."""
    if path.is_file():
        return hash_of(path)
    return content_of_files(describe_files(path, hash_of))


def content_of_files(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Hash a folder by the hashes of its files, as `describe_files` lists them."""
    return stable_hash({name: entry["sha256"] for name, entry in files.items()})


def begin(folder: Path, *, keep_payload: bool = False) -> Path:
    """Open the place beside `folder` where its payload is made.

    Scratch work left there by a killed run is kept, a half-made payload only where the node goes on from it.
    """
    partial = folder.with_name(folder.name + ".partial")
    if not keep_payload:
        shutil.rmtree(partial / PAYLOAD, ignore_errors=True)
    durable.make_folder(partial / PAYLOAD)
    return partial


def finish(
    folder: Path, *, node: str, kind: str, fingerprint: str, inputs: Mapping[str, str], settings: Mapping[str, Any],
    identity: Mapping[str, Any], code: Mapping[str, str], plugins: Mapping[str, str], seed: int, seconds: float,
    measures: Mapping[str, Any],
) -> Artifact:  # fmt: skip
    """Describe the payload that lies beside `folder`, and give it its final name in one step."""
    partial = begin(folder, keep_payload=True)
    durable.flush(partial / PAYLOAD)
    files = describe_files(partial / PAYLOAD)
    artifact = Artifact(
        folder, node, kind, fingerprint, content_of_files(files), inputs, settings, plugins, seed, seconds, measures, files, code,
        identity,
    )  # fmt: skip
    written = {name: value for name, value in asdict(artifact).items() if name != "folder"}
    durable.write_sealed(partial / MANIFEST, written)
    _give_name(partial, folder)
    return artifact


def take_up(folder: Path, fingerprint: str) -> Artifact | None:
    """Finish what a run that was killed after the manifest was written left beside `folder`; None where there is no such thing.

    A manifest that does not fit what lies beside it is removed: the node is done again.
    """
    partial = folder.with_name(folder.name + durable.PARTIAL)
    if not (partial / MANIFEST).exists():
        return None
    try:
        artifact = load(partial, fingerprint=fingerprint)
        verify(artifact, Hashes(), everything=True)
    except ArtifactError as error:
        print(visible(f"left by a run that was killed, and made again: {error}"), file=sys.stderr)
        (partial / MANIFEST).unlink()
        return None
    _give_name(partial, folder)
    return load(folder)


def _give_name(partial: Path, folder: Path) -> None:
    for scratch in partial.iterdir():  # after the manifest, which says from now on what made the payload
        if scratch.name not in (PAYLOAD, MANIFEST, "log.jsonl"):
            shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
    durable.flush_names(partial)  # or a power cut brings scratch work back, which nobody would delete any more
    durable.rename(partial, folder)


def load(folder: Path, **expected: Any) -> Artifact:
    """Read what an artifact says of itself, without looking at its payload.

    expected: fields that must have a value, such as `node` and `fingerprint`.

    Raises ArtifactError for a manifest that was changed in any way since it was written, or that is another's.
    """
    file, remedy = folder / MANIFEST, f"delete {folder} and run again to make it anew"
    try:
        artifact = _checked(durable.read_sealed(file), folder)
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST} here; expected the folder of an artifact") from None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror})") from None
    except DamageError as error:
        if (written := _format_of(file)) != FORMAT:
            raise ArtifactError(
                f"{folder}: artifact format {written}, this version reads {FORMAT}; use another --out"
            ) from None
        raise ArtifactError(f"{error}; {remedy}") from None
    for name, value in expected.items():
        if (found := getattr(artifact, name)) != value:
            raise ArtifactError(
                f"{folder}: holds an artifact whose {name} is {found!r}, and in this place it is {value!r}: was a folder "
                f"renamed or exchanged? Restore it, or {remedy}"
            )
    return artifact


def _checked(written: dict[str, Any], folder: Path) -> Artifact:
    """Make an artifact of a manifest, every field of its type. Raises DamageError."""
    file = folder / MANIFEST
    try:
        _manifest_model().model_validate(written)
    except ValidationError as error:
        where, what = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise DamageError(f"{file}: damaged: {where}: {what}") from None
    artifact = Artifact(folder, **written)
    for name, entry in artifact.files.items():
        if not all(isinstance(entry.get(key), kind) for key, kind in _ENTRY.items()):
            raise DamageError(f"{file}: damaged: files.{name}: expected {', '.join(_ENTRY)}")
    if artifact.content != content_of_files(artifact.files):
        raise DamageError(f"{file}: damaged: content is not the hash of files")
    if artifact.format != FORMAT:
        raise DamageError(f"{file}: artifact format {artifact.format}")
    return artifact


_ENTRY = {"bytes": int, "mtime_ns": int, "sha256": str}
"""What a manifest says of each file."""


@cache
def _manifest_model() -> type[BaseModel]:
    """The fields of an artifact that a manifest holds, each of its type and none left out."""
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(Artifact).items() if name != "folder"}
    return create_model("Manifest", __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def _format_of(file: Path) -> Any:
    """Which format a manifest that is not whole claims to be of; ours where it says nothing that can be read."""
    try:
        written = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return FORMAT
    return written.get("format", FORMAT) if isinstance(written, dict) else FORMAT


def damage(artifact: Artifact, hashes: Hashes, *, everything: bool) -> Iterator[str]:
    """Compare the files of a payload with the manifest, and yield what is wrong with each that differs.

    everything: read all files; otherwise only those whose size or modification time is not that of the manifest.
    """
    paths = {
        path.relative_to(artifact.payload).as_posix(): path for path in artifact.payload.rglob("*") if path.is_file()
    }
    same_size = []
    for name, entry in artifact.files.items():
        path = artifact.payload / name
        if name not in paths:
            yield f"{path}: missing from the artifact of '{artifact.node}'"
        elif (size := path.stat().st_size) != entry["bytes"]:
            yield f"{path}: {size} bytes, its manifest says {entry['bytes']}"
        elif everything or any(entry.get(key) != value for key, value in _state(path).items()):
            same_size.append(name)
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: hashes.of(paths[name]), same_size)
        for name, digest in zip(same_size, found, strict=True):
            if digest != artifact.files[name]["sha256"]:
                yield f"{paths[name]}: changed since it was written"
    for name in sorted(set(paths) - set(artifact.files)):
        yield f"{paths[name]}: not part of the artifact of '{artifact.node}'"


def verify(artifact: Artifact, hashes: Hashes, *, everything: bool = False) -> None:
    """Check the payload against the manifest, see `damage`. Raises ArtifactError naming the first file that differs."""
    for what in damage(artifact, hashes, everything=everything):
        raise ArtifactError(f"{what}; delete {artifact.folder} and run again to make it anew")


class RowsWriter(Generic[Row]):
    """Writes records to a Parquet file (zstd), a row group at a time. A context manager; the file is whole after it.

    Rare columns, and what messages hold beside their text, are written from the first row on that needs them, and then the rows before
    are written again: files without such rows keep their bytes.
    """

    def __init__(self, file: Path, record: type[Row]) -> None:
        self._file = file
        self._record = record
        self._group: list[Row] = []
        self._has_rare = False
        self._open()
        self.count = 0

    def _open(self) -> None:
        import pyarrow
        import pyarrow.parquet

        columns = self._record.columns
        self._names = [name for name in columns if self._has_rare or name not in self._record.rare]
        self._schema = pyarrow.schema([(name, _arrow_type(columns[name], self._has_rare)) for name in self._names])
        self._writer = pyarrow.parquet.ParquetWriter(self._file, self._schema, compression="zstd")

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

        if not self._group:
            return
        if self._record.rare and not self._has_rare and any(row.is_rare for row in self._group):
            self._widen()
        values = zip(*[row.to_values() for row in self._group], strict=True)
        columns = dict(zip(self._record.columns, map(list, values), strict=True))
        written = {name: columns[name] for name in self._names}
        self._writer.write_table(pyarrow.Table.from_pydict(written, schema=self._schema))
        self._group = []

    def _widen(self) -> None:
        """Write the rows so far again, with room for what is rare."""
        self._writer.close()
        self._has_rare = True
        narrow = self._file.with_name(self._file.name + ".narrow")
        self._file.rename(narrow)
        self._open()
        group, self._group = self._group, []
        for row in read_rows(narrow, self._record):
            self._group.append(row)
            if len(self._group) == ROW_GROUP:
                self._flush()
        self._flush()
        self._group = group
        narrow.unlink()


def write_rows(folder: Path, record: type[Row], rows: Iterable[Row], name: str = "rows.parquet") -> int:
    """Write records to a Parquet file (zstd), a row group at a time; return how many."""
    with RowsWriter(folder / name, record) as writer:
        for row in rows:
            writer.write(row)
    return writer.count


def read_rows(folder: Path, record: type[Row], first: int = 0) -> Iterator[Row]:
    """Stream the records of a payload folder, shards in name order, or of one file. Columns that came later may be missing.

    first: the record to begin with; what stands before its row group is not read. Raises DataError for a folder without such rows.
    """
    names = list(record.columns)
    for batch in read_batches(folder, record, first):
        there = set(batch.schema.names)
        columns = (
            batch.column(name).to_pylist() if name in there else repeat(record.defaults[name], len(batch))
            for name in names
        )
        for values in zip(*columns, strict=True):
            yield record.from_values(*values)


def read_batches(folder: Path, record: type[Row], first: int = 0) -> Iterator[pyarrow.RecordBatch]:
    """Stream the same rows as tables, for what can be said of whole columns."""
    import pyarrow.parquet

    folder = Path(folder)
    shards = [folder] if folder.is_file() else sorted(folder.glob("*.parquet"))
    if not shards:
        raise DataError(f"{folder}: no rows here; expected Parquet files with the columns {', '.join(record.columns)}")
    for shard in shards:
        try:
            with pyarrow.parquet.ParquetFile(shard) as file:
                missing = sorted(record.columns.keys() - set(file.schema_arrow.names) - record.defaults.keys())
                if missing:
                    raise DataError(f"{shard}: no column '{missing[0]}'; expected rows of {record.__name__}")
                if first >= file.metadata.num_rows:
                    first -= file.metadata.num_rows
                    continue
                groups, first = _from(file, first)
                there = [name for name in record.columns if name in file.schema_arrow.names]
                for batch in file.iter_batches(READ_ROWS, row_groups=groups, columns=there):
                    if first >= len(batch):
                        first -= len(batch)
                        continue
                    yield batch.slice(first)
                    first = 0
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{shard}: not a whole Parquet file ({error}); make it again") from None


def _from(file: pyarrow.parquet.ParquetFile, first: int) -> tuple[list[int], int]:
    """The row groups of a file from that of a row on, and which row of the first of them it is."""
    groups = range(file.num_row_groups)
    for group in groups:
        rows = file.metadata.row_group(group).num_rows
        if first < rows:
            return list(groups[group:]), first
        first -= rows
    return [], 0


def count_rows(folder: Path) -> int:
    """How many rows a payload folder, or one file of it, holds, from the footers of the files alone."""
    import pyarrow.parquet

    shards = [folder] if folder.is_file() else list(folder.glob("*.parquet"))
    return sum(pyarrow.parquet.read_metadata(shard).num_rows for shard in shards)


def _arrow_type(kind: str, has_rare: bool = False) -> pyarrow.DataType:
    import pyarrow

    parts = ("role", "content", *(("more",) if has_rare else ()))
    message = pyarrow.struct([(part, pyarrow.string()) for part in parts])
    return {
        "string": pyarrow.string(),
        "float": pyarrow.float64(),
        "int": pyarrow.int64(),
        "strings": pyarrow.list_(pyarrow.string()),
        "messages": pyarrow.list_(message),
    }[kind]
