"""Settings that benchmarks of one's own share: which rows, and how a row and examples before it become a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, model_validator

from aya_core.api import DataError, Field, check_language, stable_hash
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import Source
from aya_plugins.benchmarks.tables import Row, read_tables
from aya_plugins.benchmarks.templates import Template, template


@dataclass(frozen=True)
class OwnSource(Source):
    """A benchmark that its user brings."""

    @property
    def where(self) -> str:
        """Say what its files look like."""
        return (
            "expected files such as de.jsonl, test.de.csv or de/test.parquet; the language is in a column `language`, in the name of the "
            "file or of a folder, or in the setting `language`"
        )


OWN = OwnSource("own", "", "", "", "de.jsonl", is_tsv_quoted=True, by_subject=True)


class OwnData(BenchmarkData):
    """Rows of a benchmark of one's own, and the texts made of them."""

    source: ClassVar[Source] = OWN

    language: Annotated[str | None, AfterValidator(lambda code: code and check_language(code))] = Field(
        None, description="Language of all rows, for data that says none."
    )
    item: str | None = Field(
        None,
        description="Column by which a question is named in all languages: errors take its rows for one observation.",
    )
    split: str = Field("test", description="Split that is asked; a file whose name says none holds it.")
    question: Template = Field(
        description="What is asked, as a Jinja template of the row's columns: '{{ question }} Answer:'."
    )
    description: Template = Field("", description="Template of what comes first, before examples and question.")
    shots: int = Field(0, ge=0, description="Examples before each question: the first rows of the split `shots_split`.")
    shots_split: str = Field("dev", description="Split that examples are taken from.")
    shots_by: str | None = Field(
        None, description="Column whose value examples share with the question, such as subject, beside the language."
    )
    target_delimiter: str = Field(
        " ", description="What stands between a question and its answer; with `prompting: chat`, in examples alone."
    )
    fewshot_delimiter: str = Field("\n\n", description="What stands after each example.")

    @model_validator(mode="after")
    def _has_its_data(self) -> Self:
        if self.revision is not None and self.hub is None:
            raise ValueError("a `revision` needs the id of the data set on the hub, `hub: owner/name`")
        if self.shots and self.shots_split == self.split:
            raise ValueError(
                f"examples from the split that is asked, '{self.split}', would give answers away; set shots_split"
            )
        return self

    def rows_in(self, languages: Sequence[str] | None, *splits: str) -> Iterator[Row]:
        """Stream the rows of these splits in some languages."""
        return read_tables(
            replace(self.source, split=self.split), data=self.data, revision=self.revision, hub=self.hub, splits=splits,
            languages=languages, codes=self.codes, may_lack=self.may_lack_languages, language=self.language,
        )  # fmt: skip

    def item_of(self, row: Row) -> str | None:
        """By what a row names its question in all languages. Raises DataError for a column that is not there."""
        if self.item is None:
            return None
        found = row.item(self.item)
        if found is None:
            raise DataError(
                f"{row.place}: item: column '{self.item}' is missing or empty; expected what names the question"
            )
        return found

    def own_signature(self, **more: str) -> dict[str, str]:
        """Name data, templates and examples. more: what else moves the numbers."""
        texts = {name: value for name, value in self if name in TEXTS}
        shown = f"first {self.shots} of {self.shots_split}" + (f" by {self.shots_by}" if self.shots_by else "")
        return {
            **self.data_signature(), "split": self.split, "template": stable_hash(texts)[:12],
            "shots": shown if self.shots else "0", **more,
        }  # fmt: skip


TEXTS = (
    "question",
    "description",
    "options",
    "answer",
    "accepted",
    "target_delimiter",
    "fewshot_delimiter",
    "language",
)
"""Settings that make the texts of a benchmark."""


class Shown:
    """Makes of each row its question as a model sees it, and the examples before it."""

    def __init__(self, settings: OwnData, answer: Callable[[Row], str]) -> None:
        self._settings = settings
        self._answer = answer
        self._question = template(settings.question, "question")
        self._description = template(settings.description, "description")

    def questions(self) -> Iterator[tuple[Row, str, Sequence[tuple[str, str]]]]:
        """Yield each row with its question and the examples before it, as pairs of question and answer; the description comes with the
        first of these. Rows with the same examples follow one another where the data has them so.

        Raises DataError where there are too few examples.
        """
        settings = self._settings
        examples = self._examples()
        for row in settings.asked(settings.split):
            shown = list(examples.get(self._group(row), ()))
            if len(shown) < settings.shots:
                of = f" with {settings.shots_by} {row.values.get(settings.shots_by)!r}" if settings.shots_by else ""
                raise DataError(
                    f"{row.place}: {len(shown)} rows{of} in '{row.language}' are in the split {settings.shots_split}, and {settings.shots} "
                    "are to come before each question; add rows, or set `shots`"
                )
            first = self._description(row)
            question = self._question(row)
            if shown:
                shown[0] = (first + shown[0][0], shown[0][1])
                yield row, question, shown
            else:
                yield row, first + question, ()

    def as_text(self, question: str, examples: Sequence[tuple[str, str]]) -> str:
        """Write examples and question as one text."""
        settings = self._settings
        before = (
            f"{asked}{settings.target_delimiter}{answer}{settings.fewshot_delimiter}" for asked, answer in examples
        )
        return "".join(before) + question

    def _examples(self) -> Mapping[tuple[str, str], Sequence[tuple[str, str]]]:
        settings = self._settings
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in settings.rows(settings.shots_split) if settings.shots else ():
            kept = found.setdefault(self._group(row), [])
            if len(kept) < settings.shots:
                kept.append((self._question(row), self._answer(row)))
        return found

    def _group(self, row: Row) -> tuple[str, str]:
        by = self._settings.shots_by
        if by is not None and by not in row.values:
            raise DataError(
                f"{row.place}: no column '{by}' for shots_by; columns found: {', '.join(map(str, row.values))}"
            )
        return row.language, "" if by is None else str(row.values[by])
