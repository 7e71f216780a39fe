"""Rows of a published benchmark, from the files it was published as or from the hub."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import DataError, counts_as, ending_of, find_language, is_edition, plain_language, stem_of
from aya_plugins.benchmarks.formats import LINES, READERS
from aya_plugins.benchmarks.names import NO_CODES, OTHER_CODES, language_code, language_of, split_of, subject_of
from aya_plugins.benchmarks.sources import Source
from aya_plugins.datasets.files import ABOUT
from aya_plugins.datasets.hub import hub_lines
from aya_plugins.datasets.shards import check_shards, whole_of

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

    def item(self, column: str) -> str | None:
        """By what a column names the row in all languages; None where it is not there."""
        value = self.values.get(column)
        return None if value is None or str(value).strip() == "" else str(value)

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
    codes: Mapping[str, str] = NO_CODES,
    language: str | None = None,
    may_lack: bool = False,
) -> Iterator[Row]:
    """Stream the rows of a benchmark, of the splits and languages asked for; None asks for all languages.

    data: a file, a folder (searched at any depth) or a glob, of JSONL, JSON, Parquet, CSV, TSV or plain lines. A row's language is
    in its column `language` or `lang`, else in the name of its file or of a folder above. A file whose name says no split holds the
    set's usual one. language: of rows without such a column, whatever names say. revision: reads the hub's data set at this commit,
    where no data is given. hub: its id, if not the usual one. codes: languages by how the set writes them, where that is no code and no
    English name. may_lack: whether some of the languages may be missing.

    An edition (zh-Hant, pt-BR) that is not asked for counts as its language, if the set has that in no other way.

    Raises DataError where files or an asked language are missing, which says where to get the set, and for rows in the wrong format.
    """
    if data is not None:
        rows = _local(source, data, splits, codes, language)
    elif revision is not None:
        rows = _from_hub(source, hub or source.hub, revision, splits, languages, codes, language)
    else:
        raise DataError(f"no data: set `data` to files, or `revision` to a commit of the hub's; {source.where}")
    where = data or hub or source.hub
    asked = _Asked(languages, where)
    seen: set[str] = set()
    for row in asked.rows(rows):
        if row.split in splits:
            seen.add(row.language)
            yield row
    if not seen and languages is None:
        raise DataError(f"{where}: no row of the split {' or '.join(splits)}; {source.where}")
    missing = [language for language in languages or () if language not in seen]
    if missing and not (may_lack and seen):
        found = ", ".join(sorted(seen | asked.others)) or "no language"
        raise DataError(f"{where}: no row in {', '.join(missing)}, only in {found}; {source.where}")


class _Asked:
    """Tells which of the languages asked for a row counts as. others: languages of rows that count as none of them.

    Rows of an edition wait until it is known that the language itself does not come.
    """

    def __init__(self, languages: Sequence[str] | None, where: str) -> None:
        self.others: set[str] = set()
        self._languages = languages
        self._where = where
        self._editions: dict[str, dict[str, list[Row]]] = {}

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows asked for, in the languages that they count as."""
        seen: set[str] = set()
        for row in rows:
            language = row.language if self._languages is None else counts_as(row.language, self._languages)
            if language is None:
                self.others.add(row.language)
            elif self._languages is not None and is_edition(row.language, language):
                self._editions.setdefault(language, {}).setdefault(row.language, []).append(row)
            else:
                seen.add(language)
                yield row._replace(language=language)
        for language, editions in self._editions.items():
            if language in seen:
                self.others |= editions.keys()
                continue
            if len(editions) > 1:
                names = " and ".join(sorted(editions))
                raise DataError(
                    f"{self._where}: both {names} could count as '{language}', and items would count twice; name in `languages` which of "
                    "them are meant"
                )
            for waiting in editions.values():
                yield from (row._replace(language=language) for row in waiting)


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

    def check(self, file: Path, language: str, split: str, subject: str) -> None:
        """Raise DataError if another file has given rows of this language and split."""
        key = (language, split, subject) if self._source.by_subject else (language, split)
        other = self._files.setdefault(key, file)
        if other is not file and whole_of(other) != whole_of(file):
            raise DataError(
                f"{file} and {other} both hold {self._source.name} in '{language}', split {split}; rows would count twice: let `data` "
                "name the folder or the files that are meant"
            )


def _local(
    source: Source, data: str, splits: Sequence[str], codes: Mapping[str, str], fixed: str | None
) -> Iterator[Row]:
    parts = _Parts(source)
    meant = []
    for table in find_tables(source, data):
        split = split_of(table.path.name, table.inside) or source.split
        if split in splits:
            meant.append((table, split))
    if not Path(data).is_file():
        check_shards([table.path for table, _ in meant])
    for (file, inside, around), split in meant:
        try:
            language = fixed or language_of(file.name, inside + around, own_codes=source.own_codes, codes=codes)
        except DataError as error:
            raise DataError(f"{file}: {error}; or set `languages` to a map such as {{{file.name}: de}}") from None
        subject = subject_of(stem_of(file))
        for line in READERS[ending_of(file)](file, source):
            row = _row(source, line.place, line.number, line.row, language, split, subject, codes)
            parts.check(file, row.language, split, subject)
            yield row


def _from_hub(
    source: Source,
    hub: str,
    revision: str | None,
    splits: Sequence[str],
    languages: Sequence[str] | None,
    codes: Mapping[str, str],
    fixed: str | None,
) -> Iterator[Row]:
    import datasets

    try:
        names = datasets.get_dataset_config_names(hub, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{hub}: cannot be read at the revision {revision} ({error}); {source.where}") from None
    configs = {name: codes.get(name) or language_code(name, own_codes=source.own_codes) for name in names}
    if not any(configs.values()):
        configs = dict.fromkeys(names)
    else:
        configs = {name: code for name, code in configs.items() if code and _is_asked(code, configs, languages)}
    for config, language in configs.items():
        for split in splits:
            for line in hub_lines(hub, config, split, revision):
                yield _row(source, line.place, line.number, line.row, language or fixed, split, config, codes)


def _is_asked(code: str, configs: Mapping[str, str | None], languages: Sequence[str] | None) -> bool:
    """Whether a configuration is to be read: one in a language asked for, or in an edition of one that has no configuration itself."""
    if languages is None:
        return True
    language = counts_as(code, languages)
    return language is not None and (not is_edition(code, language) or plain_language(language) not in configs.values())


def _row(
    source: Source,
    place: str,
    number: int,
    found: Mapping[str, Any],
    language: str | None,
    split: str,
    subject: str,
    codes: Mapping[str, str],
) -> Row:
    values = {source.aliases.get(name, name): value for name, value in found.items()}
    stated = next((values[name] for name in LANGUAGE_COLUMNS if isinstance(values.get(name), str)), None)
    if stated is None and isinstance(values.get("iso_639_3"), str):  # FLORES+ names its script beside it
        parts = (values.get(name) for name in ("iso_639_3", "iso_15924", "variant"))
        stated = "_".join(str(part) for part in parts if part)
    if stated:
        code = codes.get(stated) or _stated(stated, source)
        if code is None and language is None:
            raise DataError(
                f"{place}: the language is {stated!r:.60}, which is no code of ISO 639 and no English name; say which it is by a "
                f"map, languages: {{{stated}: de}}"
            )
        if code is not None and not (language or "").startswith(f"{code}-"):
            language = code
    if language is None:
        raise DataError(
            f"{place}: no column says its language, and neither does the file's name; call it or its folder by the language, "
            f"such as {source.files}, or set `languages` to a map such as {{{Path(place.rpartition(':')[0]).stem}: de}}"
        )
    return Row(place, language, split, subject, number, values)


def _stated(stated: str, source: Source) -> str | None:
    """The code of a language that a column states."""
    if source.own_codes and stated.lower() in OTHER_CODES:
        return OTHER_CODES[stated.lower()]
    code = find_language(stated)
    return None if code is None else plain_language(code)
