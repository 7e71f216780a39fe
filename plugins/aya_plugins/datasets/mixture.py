"""Several data sets, and rows of earlier stages, as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field as Limits, model_validator

from aya_core.api import (
    AccountingDataset,
    DataError,
    Dataset,
    DatasetStrategy,
    Demonstration,
    ExampleRow,
    Field,
    IdSet,
    Name,
    Preference,
    Prompt,
    RowsRef,
    did_you_mean,
    prompt_of,
    read_rows,
    reference_or_nested,
    stable_hash,
)


class Mixture(DatasetStrategy):
    """Read several data sets as one: all rows of each, or so many of each language.

    A source is a data set, or rows that an earlier stage made. Which rows are drawn is decided by a hash of their ids (without the
    language, if that comes first): the same ones each time and for any order of the sources, of parallel sets the same ones in every
    language, and a smaller number draws some of the rows of a larger one. Ids must differ between sources; `id_template` makes them so.
    """

    sources: dict[Name, reference_or_nested(RowsRef, "dataset")] = Field(  # type: ignore[valid-type]
        min_length=1, description="Data sets and rows of earlier stages, by names of your own."
    )
    per_language: dict[Name, Annotated[int, Limits(ge=1)]] = Field(
        {}, description="So many rows of each language of a source, by its name; all rows of those that are not named."
    )

    @model_validator(mode="after")
    def _limits_are_of_sources(self) -> Mixture:
        for name in self.per_language:
            if name not in self.sources:
                raise ValueError(f"per_language: no source '{name}'; {did_you_mean(name, self.sources)}")
        return self

    def build(self) -> Dataset:
        """Make the data set; sources are opened when rows are asked for."""
        parts = {
            name: _Made(Path(source)) if isinstance(source, str) else source.build()
            for name, source in self.sources.items()
        }
        return _Mixed(parts, self.per_language)


class _Mixed:
    def __init__(self, parts: Mapping[str, Dataset], limits: Mapping[str, int]) -> None:
        self._parts = parts
        self._limits = limits
        self._read: Counter[str] = Counter()

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        self._read.clear()
        seen = IdSet()
        for name, part in self._parts.items():
            own = IdSet()
            for row in _drawn(part.rows(seed), self._limits.get(name)):
                id = prompt_of(row).id
                if own.add(id) and not seen.add(id):
                    raise DataError(
                        f"source '{name}': the id '{id}' is in another source, too; give one of them ids of its own, such as id_template: "
                        f"'{name}/{{id}}'"
                    )
                self._read[name] += 1
                yield row

    def account(self) -> Mapping[str, Any]:
        """Say how many rows each source gave, and what it says of how it read them."""
        columns: dict[str, int] = {f"from {name}": count for name, count in self._read.items()}
        without: Counter[str] = Counter()
        for name, part in self._parts.items():
            if isinstance(part, AccountingDataset):
                told = part.account()
                columns.update({f"{name}: {way}": count for way, count in told.get("columns", {}).items()})
                without.update({f"{name}: {why}": count for why, count in told.get("without_pair", {}).items()})
        return {"columns": columns, **({"without_pair": dict(without)} if without else {})}


class _Made:
    """Rows that an earlier stage made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        yield from read_rows(self._folder, _record(self._folder))


def _record(folder: Path) -> type[Prompt] | type[Demonstration] | type[Preference]:
    """What the rows in a folder are, by their columns."""
    from pyarrow import parquet

    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    if not files:
        raise DataError(f"{folder}: no rows here; expected what an earlier stage made")
    names = set(parquet.read_schema(files[0]).names)
    for record in (Preference, Demonstration, Prompt):
        if {name for name in record.columns if name not in record.defaults} <= names:
            return record
    raise DataError(
        f"{folder}: its columns are {', '.join(sorted(names))}; expected prompts, demonstrations or preferences"
    )


def _drawn(rows: Iterable[ExampleRow], limit: int | None) -> Iterator[ExampleRow]:
    """Yield at most so many rows of each language, in their order."""
    if limit is None:
        yield from rows
        return
    kept: dict[str, list[tuple[int, int, ExampleRow]]] = {}  # by language a heap, the greatest hash on top
    for place, row in enumerate(rows):
        prompt = prompt_of(row)
        mark = -int(stable_hash(["mixture", prompt.id.removeprefix(f"{prompt.language}/")])[:15], 16)
        heap = kept.setdefault(prompt.language, [])
        (heappush if len(heap) < limit else heappushpop)(heap, (mark, place, row))
    for _, row in sorted((place, row) for heap in kept.values() for _, place, row in heap):
        yield row
