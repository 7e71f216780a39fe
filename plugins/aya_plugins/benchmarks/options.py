"""Settings that every benchmark shares: which data, at which revision, in which languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Self

from pydantic import model_validator

from aya_core.api import Field, Language, LocalFile, Settings, content_of, plain_language, stable_hash
from aya_plugins.benchmarks.drawn import LIMIT, drawn, limit_signature
from aya_plugins.benchmarks.sources import Source
from aya_plugins.benchmarks.tables import Row, find_tables, read_tables
from aya_plugins.datasets.hub import check_revision


class BenchmarkData(Settings):
    """Where a benchmark's rows are, and which of them count."""

    source: ClassVar[Source]
    """Where the benchmark is published."""

    extra: ClassVar[str | None] = "hub"

    data: LocalFile | None = Field(
        None,
        description="Its files as they were published: a file, a folder at any depth, or a glob. Language and split are in "
        "columns or names.",
    )
    revision: str | None = Field(
        None, description="Commit of the data set on the hub, 40 hexadecimal digits; read where `data` is not set."
    )
    hub: str | None = Field(None, description="Id of the data set on the hub, if another than the usual one.")
    languages: tuple[Language, ...] | dict[str, Language] | None = Field(
        None,
        min_length=1,
        description="Languages to evaluate; None takes all that the data has. A map names them by how the set writes them, in columns "
        "or names of files, where that is no code and no English name: {deutsch: de, francais: fr}.",
    )
    may_lack_languages: bool = Field(
        False,
        description="Evaluate those of `languages` that the data has; otherwise it is an error if one is missing.",
    )

    limit: int | None = Field(None, ge=1, description=LIMIT)

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if (self.data is None) == (self.revision is None):
            raise ValueError(
                "expected either `data`, files of your own, or the `revision` of the data set on the hub; "
                + self.source.where
            )
        if self.data is not None and self.hub is not None:
            raise ValueError("files of your own have no hub id; keep `data` or `hub`")
        if self.revision is not None:
            check_revision(self.hub or self.source.hub, self.revision)
        return self

    @property
    def published(self) -> str:
        """Say where the benchmark is published and under which license."""
        return self.source.where

    @property
    def needs_of_settings(self) -> tuple[str, ...]:
        """What reads the hub, where that is read."""
        return () if self.revision is None else ("datasets",)

    def rows(self, *splits: str) -> Iterator[Row]:
        """Stream the rows of these splits; see `read_tables`."""
        return self.rows_in(self.asked_languages, *splits)

    def rows_in(self, languages: Sequence[str] | None, *splits: str) -> Iterator[Row]:
        """Stream the rows of these splits in some languages."""
        return read_tables(
            self.source,
            data=self.data,
            revision=self.revision,
            hub=self.hub,
            splits=splits,
            languages=languages,
            codes=self.codes,
            may_lack=self.may_lack_languages,
        )

    @property
    def asked_languages(self) -> tuple[str, ...] | None:
        """The languages to evaluate, each once; None for all. Simplified Chinese is zh, unless the traditional is asked for, too."""
        if self.languages is None:
            return None
        named = tuple(self.languages.values() if isinstance(self.languages, dict) else self.languages)
        return tuple(dict.fromkeys(named if "zh-Hant" in named else map(plain_language, named)))

    @property
    def codes(self) -> Mapping[str, str]:
        """Languages by how the set writes them, where `languages` says so."""
        return self.languages if isinstance(self.languages, dict) else {}

    def asked(self, split: str) -> Iterator[Row]:
        """Stream the rows of a split that are asked: all, or those that the limit draws."""
        return drawn(self.rows(split), self.limit)

    def data_signature(self) -> dict[str, str]:
        """Name the data that is read: the hub's commit, or the content of the files."""
        if self.data is None:
            content = f"{self.hub or self.source.hub}@{self.revision}"
        else:
            files = find_tables(self.source, self.data)
            content = stable_hash([[*file.inside, file.path.name, content_of(file.path)] for file in files])
        return {
            "benchmark": self.source.name, "data": content, "languages": " ".join(self.asked_languages or ("all",)),
            **limit_signature(self.limit),
        }  # fmt: skip
