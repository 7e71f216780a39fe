"""The prompts that a node is about: all of them, a part of them, those routed to one teacher. Streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from aya_core.api import Columns, Lookahead, Prompt, Work, read_rows


@dataclass(frozen=True, slots=True)
class Route(Columns):
    """A prompt that is sent to a teacher; the teacher's name is that of the file."""

    prompt_id: str
    language: str

    columns: ClassVar[Mapping[str, str]] = {"prompt_id": "string", "language": "string"}

    def to_values(self) -> Sequence[Any]:
        """The values of the row."""
        return self.prompt_id, self.language

    @classmethod
    def from_values(cls, *values: Any) -> Route:
        """Read back what `to_values` gave."""
        return cls(*values)


def route_file(teacher: str) -> str:
    """The file of a routes artifact that lists what one teacher is asked."""
    return f"{teacher}.parquet"


def routes_of(path: Path) -> Lookahead[Route]:
    """Look up, in order, which prompts a file of routes sends to its teacher."""
    return Lookahead(read_rows(path, Route), lambda route: route.prompt_id)


def read_prompts(work: Work) -> Iterator[Prompt]:
    """Stream the prompts of a node: its part of them, and those that its input `route` names, where it has one."""
    part = work.setting("part")
    prompts: Iterable[Prompt] = share(read_rows(work.inputs["prompts"], Prompt), tuple(part) if part else None)
    if "route" not in work.inputs:
        yield from prompts
        return
    routes = routes_of(work.inputs["route"])
    for prompt in prompts:
        if routes.take(prompt.id):
            yield prompt


def share(rows: Iterable[Prompt], part: tuple[int, int] | None) -> Iterator[Prompt]:
    """Take the k-th of n equal parts: every n-th row of each language, so that each part has the same mix of languages."""
    seen: Counter[str] = Counter()
    for row in rows:
        if part is None or seen[row.language] % part[1] == part[0]:
            yield row
        seen[row.language] += 1
