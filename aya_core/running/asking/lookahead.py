"""Bringing rows together with the prompts that they belong to, as both stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from aya_core.contract.errors import DataError

Row = TypeVar("Row")


class Lookahead(Generic[Row]):
    """Takes the run of rows that belong to one prompt from a stream that is in the order of the prompts."""

    def __init__(self, rows: Iterator[Row], prompt_id: Callable[[Row], str]) -> None:
        self._rows = rows
        self._prompt_id = prompt_id
        self._next = next(rows, None)

    def take(self, id: str) -> list[Row]:
        """The rows of this prompt; none if the next rows are another's."""
        taken: list[Row] = []
        while self._next is not None and self._prompt_id(self._next) == id:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken

    def check_done(self) -> None:
        """Raise DataError if rows are left: they are of a prompt that did not come, or came too early."""
        if self._next is not None:
            raise DataError(
                f"rows of '{self._prompt_id(self._next)}' do not follow the order of the prompts; delete the artifact that "
                "holds them, and run again"
            )
