"""Routing: which teachers answer which prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from aya_core.artifacts import ROW_GROUP, read_rows, write_rows
from aya_core.errors import DataError, PluginError
from aya_core.kinds import Pool
from aya_core.records import Prompt
from aya_core.stages.work import Work


@dataclass(frozen=True, slots=True)
class Route:
    """The teachers of one prompt."""

    prompt_id: str
    teachers: tuple[str, ...]

    columns: ClassVar[Mapping[str, str]] = {"prompt_id": "string", "teachers": "strings"}

    def to_row(self) -> dict[str, Any]:
        """The row on disk."""
        return {"prompt_id": self.prompt_id, "teachers": list(self.teachers)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Route:
        """Read back what `to_row` wrote."""
        return cls(row["prompt_id"], tuple(row["teachers"]))


def route(work: Work) -> Mapping[str, Any]:
    """Ask the router about every prompt; a teacher is never sent a language that it is not asked in."""
    pool = Pool(work.setting("teachers"))
    router = work.strategy("router").build()
    routed: Counter[str] = Counter()

    def routes() -> Iterator[Route]:
        rows = read_rows(work.inputs["prompts"], Prompt)
        while chunk := list(islice(rows, ROW_GROUP)):
            named = list(router.route(chunk, pool, work.node.seed))
            if len(named) != len(chunk):
                raise PluginError(f"the router named teachers for {len(named)} of {len(chunk)} prompts; expected each")
            for prompt, teachers in zip(chunk, named, strict=True):
                if isinstance(teachers, str) or not set(teachers) <= set(pool):
                    raise PluginError(
                        f"the router named {teachers!r} for '{prompt.id}'; expected a list from {', '.join(pool)}"
                    )
                speaking = tuple(t for t in teachers if t in pool.speaking(prompt.language))
                routed.update(speaking)
                yield Route(prompt.id, speaking)

    count = write_rows(work.out, Route, routes())
    if not routed:
        raise DataError("the router sends no prompt to any teacher; check the teachers' languages")
    return {"prompts": count, "routed": dict(sorted(routed.items()))}
