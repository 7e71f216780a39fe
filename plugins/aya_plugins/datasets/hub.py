"""Prompts, demonstrations or preferences from the Hugging Face hub, streaming."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import model_validator

from aya_core.api import (
    DataError,
    Dataset,
    DatasetStrategy,
    Field,
    Language as Code,
    LocalFile,
    is_saved,
    saved_lines,
    splits_of,
)
from aya_plugins.datasets.columns import LANGUAGES, FoldsSetting, IdTemplate, Language, Limit, Table
from aya_plugins.datasets.files import Line
from aya_plugins.datasets.names import Columns
from aya_plugins.datasets.splits import WholeSplit


class Hub(DatasetStrategy):
    """Stream rows of a Hugging Face data set, at a pinned commit or from a local folder.

    The columns present say what a row is: chosen and rejected make a preference, completion a demonstration,
    neither a prompt. Messages, ShareGPT's conversations and other usual forms are read, too.
    """

    version = 4
    imports = ("datasets",)
    extra = "hub"

    name: str | None = Field(None, description="Id of a data set on the hub: owner/name.")
    revision: str | None = Field(
        None, description="Commit of the data set, 40 hexadecimal digits; required with a name."
    )
    path: LocalFile | None = Field(
        None, description="Local folder of a data set, in place of a name; also one that `save_to_disk` wrote."
    )
    config: str | None = Field(None, description="Configuration of the data set, often a language.")
    split: WholeSplit = Field("train", description="Split to read, without slices; `limit` takes the first rows.")
    columns: Columns = Field(Columns(), description="Which column holds what, where names are not the usual ones.")
    language: Language = None
    languages: dict[str, Code] = Field({}, description=LANGUAGES)
    id_template: IdTemplate = "{id}"
    limit: Limit = None
    folds: FoldsSetting = None

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError("expected either a name on the hub or the path of a local folder")
        if self.name is not None:
            check_revision(self.name, self.revision)
        if self.path is not None and self.revision is not None:
            raise ValueError("a local folder has no revision; its content counts")
        return self

    def build(self) -> Dataset:
        """Make the data set; the hub is asked when rows are."""
        lines: Callable[[], Iterator[Line]]
        if self.path is not None and is_saved(folder := Path(self.path)):
            lines = partial(saved_lines, folder, self.split if splits_of(folder) else None)
        else:
            lines = partial(hub_lines, self.name or self.path or "", self.config, self.split, self.revision)
        return Table(
            lines, self.columns, self.language, False, self.id_template, self.limit, self.folds, self.languages
        )


def check_revision(name: str, revision: str | None) -> None:
    """Raise ValueError unless the revision of a data set is a commit."""
    if not re.fullmatch(r"[0-9a-f]{40}", revision or ""):
        raise ValueError(
            f"the data set '{name}' needs a revision of 40 hexadecimal digits, because a branch "
            "or tag may move; its page on the hub lists them under 'History'"
        )


def hub_lines(source: str, config: str | None, split: str, revision: str | None) -> Iterator[Line]:
    """Stream the rows of one split, from the hub or a local folder. Raises DataError with the row it came to."""
    import datasets

    name = "-".join(part for part in (config, split) if part)
    number = 0
    try:
        table = datasets.load_dataset(source, config, split=split, revision=revision, streaming=True)
        for number, row in enumerate(table, start=1):
            yield Line(f"{source} ({name}):{number}", name, number, row, is_filled=True)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{source} ({name}): cannot be read after row {number}: {error}") from None
