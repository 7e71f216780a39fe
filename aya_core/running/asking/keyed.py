"""Keys of results: what an item is by its content, and rows with the key of the item they answer, as shards hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, ClassVar

from aya_core.contract.records import Completion, Prompt

KEY = "key"
"""The column that holds the key."""


def keyed(record: type[Any]) -> Any:
    """The record of a kind of row with one more column, the key of its item."""
    any_record: Any = record
    return _keyed(any_record)


@cache
def _keyed(record: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class Keyed:
        row: Any
        key: int

        columns: ClassVar[Mapping[str, str]] = {**record.columns, KEY: "int"}

        def to_values(self) -> Sequence[Any]:
            return *self.row.to_values(), self.key

        @classmethod
        def from_values(cls, *values: Any) -> Keyed:
            return cls(record.from_values(*values[:-1]), values[-1])

    return Keyed


def prompt_key(prompt: Prompt) -> int:
    """Name a prompt by its id, what is asked, and what its source says of it. The reference is no part of the question."""
    turns = [text for turn in prompt.messages for text in (turn["role"], turn["content"])]
    meta = [text for pair in sorted(prompt.meta.items()) for text in pair]
    return _hash(("prompt", prompt.id, prompt.language, str(len(turns)), *turns, *meta))


def case_key(prompt: Prompt, candidates: tuple[Completion, ...]) -> int:
    """Name a case by its prompt, the reference it is judged by, and its candidates."""
    texts = [text for c in candidates for text in (c.teacher, str(c.index), c.finish_reason, c.text)]
    reference = ("no reference",) if prompt.reference is None else ("reference", prompt.reference)
    return _hash(("case", str(prompt_key(prompt)), *reference, *texts))


def text_key(*texts: str) -> int:
    """Name anything by the texts that make it what it is."""
    return _hash(("texts", *texts))


def _hash(texts: tuple[str, ...]) -> int:
    counted = f"{list(map(len, texts))}{''.join(texts)}"  # lengths first: no two lists of texts give the same
    digest = blake2b(counted.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
