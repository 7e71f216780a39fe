"""Rows of a published benchmark, from the files it was published as or from the hub."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import DataError, check_language, ending_of, stem_of
from aya_plugins.benchmarks.codes import language_code
from aya_plugins.benchmarks.formats import LINES, READERS
from aya_plugins.benchmarks.names import language_of, split_of, subject_of, unsharded
from aya_plugins.benchmarks.sources import Source
from aya_plugins.datasets.files import ABOUT
from aya_plugins.datasets.hub import hub_lines

LANGUAGE_COLUMNS = ("language", "lang")


class Row(NamedTuple):
    """One row of a benchmark.

    place: file and line, for messages. language: as rows of this project write it. split: as the set calls it, val as validation.
    subject: the file's name without split and language. number: from 1 in each file. values: by the names that evaluators use.
    """

    place: str
    language: str
    split: str
    subject: str
    number: int
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """Return a column that must hold some text. Raises DataError with the place."""
        value = self.values.get(column)
        if not isinstance(value, str) or not value.strip():
            what = "missing" if value is None else f"{value!r:.60}"
            raise DataError(f"{self.place}: {column}: {what}; expected a text, as one of the columns {self._columns}")
        return value

    @property
    def _columns(self) -> str:
        return ", ".join(map(str, self.values))


def read_tables(
    source: Source,
    *,
    data: str | None,
    revision: str | None = None,
    hub: str | None = None,
    splits: Sequence[str],
    languages: Sequence[str] | None = None,
    language: str | None = None,
) -> Iterator[Row]:
    """Stream the rows of a benchmark, of the splits and languages asked for; None asks for all languages.

    data: a file, a folder (searched at any depth) or a glob, of JSONL, JSON, Parquet, CSV, TSV or plain lines. A row's language is
    in its column `language` or `lang`, else in the name of its file or of a folder above. A file whose name says no split holds the
    set's usual one. language: of rows without such a column, whatever names say. revision: reads the hub's data set at this commit,
    where no data is given. hub: its id, if not the usual one.

    Raises DataError where files or an asked language are missing, which says where to get the set, and for rows in the wrong format.
    """
    seen: set[str] = set()
    if data is not None:
        rows = _local(source, data, splits, language)
    elif revision is not None:
        rows = _from_hub(source, hub or source.hub, revision, splits, languages, language)
    else:
        raise DataError(f"no data: set `data` to files, or `revision` to a commit of the hub's; {source.where}")
    others: set[str] = set()
    for row in rows:
        if languages is not None and row.language not in languages:
            others.add(row.language)
        elif row.split in splits:
            seen.add(row.language)
            yield row
    where = data or hub or source.hub
    if not seen and languages is None:
        raise DataError(f"{where}: no row of the split {' or '.join(splits)}; {source.where}")
    missing = [language for language in languages or () if language not in seen]
    if missing:
        found = ", ".join(sorted(seen | others)) or "no language"
        raise DataError(f"{where}: no row in {', '.join(missing)}, only in {found}; {source.where}")


class TableFile(NamedTuple):
    """A file of a benchmark. inside: folders between it and where the search began, nearest first; they may name split and language.
    around: the two folders above those, which may name the language."""

    path: Path
    inside: tuple[str, ...]
    around: tuple[str, ...]


def find_tables(source: Source, data: str) -> list[TableFile]:
    """List the files that a path means, in name order. Raises DataError where there is none."""
    path = Path(data)
    if path.is_file():
        files, start = [path], path.parent
    elif path.is_dir():
        files, start = [file for file in path.rglob("*") if file.is_file()], path
    else:
        files = [Path(match) for match in glob.glob(data, recursive=True) if Path(match).is_file()]
        fixed = takewhile(lambda part: not glob.has_magic(part), path.parts)
        start = Path(*fixed)
    endings = [ending for ending in READERS if ending not in LINES or source.known == ("text",)]
    tables = sorted(file for file in files if ending_of(file) in endings and not _is_beside(file, start, source))
    if not tables:
        what = f"no file that ends in {', '.join(endings)}" if files else "no such file"
        raise DataError(f"{data}: {what}; {source.where}")
    around = tuple(filter(None, (start.name, start.parent.name)))
    return [TableFile(file, file.relative_to(start).parts[-2::-1], around) for file in tables]


def _is_beside(file: Path, start: Path, source: Source) -> bool:
    """Whether a file, or a folder that it is in, holds no rows of the benchmark."""
    names = file.relative_to(start).parts
    if file.name in ABOUT or fnmatch(file.name, "cache-*.arrow"):  # beside the rows of a saved data set
        return True
    return any(fnmatch(name, pattern) for name in names for pattern in source.beside)


class _Parts:
    """Sees to it that rows of a language and split come from one file, or from its shards, and so count once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._files: dict[tuple[str, ...], Path] = {}

    def check(self, file: Path, language: str | None, split: str, subject: str) -> None:
        if language is None:
            return  # a column says it
        key = (language, split, subject) if self._source.by_subject else (language, split)
        other = self._files.setdefault(key, file)
        if (other.parent, unsharded(stem_of(other))) != (file.parent, unsharded(stem_of(file))):
            raise DataError(
                f"{file} and {other} both hold {self._source.name} in '{language}', split {split}; rows would count twice: let `data` "
                "name the folder or the files that are meant"
            )


def _local(source: Source, data: str, splits: Sequence[str], fixed: str | None) -> Iterator[Row]:
    parts = _Parts(source)
    for file, inside, around in find_tables(source, data):
        split = split_of(file.name, inside) or source.split
        if split not in splits:
            continue
        try:
            language = fixed or language_of(file.name, inside + around, own_codes=source.own_codes)
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
        subject = subject_of(stem_of(file))
        parts.check(file, language, split, subject)
        for line in READERS[ending_of(file)](file, source):
            yield _row(source, line.place, line.number, line.row, language, split, subject)


def _from_hub(
    source: Source,
    hub: str,
    revision: str | None,
    splits: Sequence[str],
    languages: Sequence[str] | None,
    fixed: str | None,
) -> Iterator[Row]:
    import datasets

    try:
        names = datasets.get_dataset_config_names(hub, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{hub}: cannot be read at the revision {revision} ({error}); {source.where}") from None
    configs = {name: language_code(name, own_codes=source.own_codes) for name in names}
    if not any(configs.values()):
        configs = dict.fromkeys(names)
    elif languages is not None:
        configs = {name: code for name, code in configs.items() if code in languages}
    else:
        configs = {name: code for name, code in configs.items() if code}
    for config, language in configs.items():
        for split in splits:
            for line in hub_lines(hub, config, split, revision):
                yield _row(source, line.place, line.number, line.row, language or fixed, split, config)


def _row(
    source: Source, place: str, number: int, found: Mapping[str, Any], language: str | None, split: str, subject: str
) -> Row:
    values = {source.aliases.get(name, name): value for name, value in found.items()}
    stated = next((values[name] for name in LANGUAGE_COLUMNS if isinstance(values.get(name), str)), None)
    if stated is None and isinstance(values.get("iso_639_3"), str):  # FLORES+ names its script beside it
        stated = "_".join(str(values[name]) for name in ("iso_639_3", "iso_15924") if values.get(name))
    if stated:
        language = language_code(stated, own_codes=source.own_codes) or language
    if language is None:
        raise DataError(
            f"{place}: no column says its language, and neither does the file's name; call it or its folder by the language, "
            f"such as {source.files}"
        )
    return Row(place, check_language(language), split, subject, number, values)
