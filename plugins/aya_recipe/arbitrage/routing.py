"""Routing: which teachers answer which prompt, and the prompts that a node is then about. Streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from aya_core.api import (
    ROW_GROUP,
    Columns,
    DataError,
    Lookahead,
    PluginError,
    Pool,
    Prompt,
    Router,
    RowsWriter,
    Work,
    chunked,
    read_rows,
    write_rows,
    writing_file,
)
from aya_recipe.arbitrage.drawing import Draw


@dataclass(frozen=True, slots=True)
class Route(Columns):
    """A prompt that is sent to a teacher; the teacher's name is that of the file."""

    prompt_id: str
    language: str

    columns: ClassVar[Mapping[str, str]] = {"prompt_id": "string", "language": "string"}


def route_file(teacher: str) -> str:
    """The file of a routes artifact that lists what one teacher is asked."""
    return f"{teacher}.parquet"


def routes_of(path: Path) -> Lookahead[Route]:
    """Look up, in order, which prompts a file of routes sends to its teacher."""
    return Lookahead(read_rows(path, Route), lambda route: route.prompt_id)


def read_prompts(work: Work) -> Iterator[Prompt]:
    """Stream the prompts of a node: its split of them, and those that its input `route` names, where it has one."""
    split = work.setting("split")
    prompts: Iterable[Prompt] = share(read_rows(work.inputs["prompts"], Prompt), tuple(split) if split else None)
    if "route" not in work.inputs:
        yield from prompts
        return
    routes = routes_of(work.inputs["route"])
    for prompt in prompts:
        if routes.take(prompt.id):
            yield prompt


def share(rows: Iterable[Prompt], split: tuple[int, int] | None) -> Iterator[Prompt]:
    """Take the k-th of n equal splits: every n-th row of each language, so that each split has the same mix of languages."""
    seen: Counter[str] = Counter()
    for row in rows:
        if split is None or seen[row.language] % split[1] == split[0]:
            yield row
        seen[row.language] += 1


def route(work: Work) -> Mapping[str, Any]:
    """Ask the router about every prompt; a teacher is never sent a language that it is not asked in, nor beyond its limit."""
    pool = Pool(work.setting("teachers"))
    limits: Mapping[str, int | None] = work.setting("limits")
    prompts = unrouted = 0
    routed: dict[str, Counter[str]] = {name: Counter() for name in pool}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(RowsWriter(work.out / route_file(name), Route)) for name in pool
        }  # one for each teacher, so that one who joins the pool moves no other
        for routes, named in _routes(work, pool):
            prompts += len(routes)
            for route, teachers in zip(routes, named, strict=True):
                asked = [name for name in teachers if name in pool.speaking(route.language)]
                unrouted += not asked
                for name in asked:
                    files[name].write(route)
                    routed[name][route.language] += 1
    was_limited = False
    for name in pool:
        if (limit := limits.get(name)) is not None and files[name].count > limit:
            was_limited = True
            routed[name] = _limit(work.out / route_file(name), limit, work.node.seed)
    if not any(routed.values()):
        raise DataError("the router sends no prompt to any teacher; check the teachers' languages")
    if was_limited:
        unrouted = prompts - _asked_at_all(work, pool)
    by_language = {name: dict(sorted(count.items())) for name, count in routed.items()}
    return {"prompts": prompts, "unrouted": unrouted, "routed": by_language}


def _routes(work: Work, pool: Pool) -> Iterator[tuple[Sequence[Route], Sequence[Sequence[str]]]]:
    """Prompts, some at a time, with the teachers that are named for each: without a router, which may look at them, all."""
    prompts = work.inputs["prompts"]
    if "router" not in work.node.settings:
        for routes in chunked(read_rows(prompts, Route), ROW_GROUP):
            yield routes, [list(pool)] * len(routes)
        return
    router = work.strategy("router").build()
    for chunk in chunked(read_rows(prompts, Prompt), ROW_GROUP):
        yield [Route(prompt.id, prompt.language) for prompt in chunk], _named(router, chunk, pool, work.node.seed)


def _named(router: Router, prompts: Sequence[Prompt], pool: Pool, seed: int) -> Sequence[Sequence[str]]:
    named = list(router.route(prompts, pool, seed))
    if len(named) != len(prompts):
        raise PluginError(f"the router named teachers for {len(named)} of {len(prompts)} prompts; expected each")
    for prompt, teachers in zip(prompts, named, strict=True):
        if isinstance(teachers, str) or not set(teachers) <= set(pool) or len(set(teachers)) < len(teachers):
            raise PluginError(
                f"the router named {teachers!r} for '{prompt.id}'; expected a list from {', '.join(pool)}, each once"
            )
    return named


def _asked_at_all(work: Work, pool: Pool) -> int:
    """How many prompts at least one teacher is asked."""
    routes = [routes_of(work.out / route_file(name)) for name in pool]
    asked = 0
    for prompt in read_rows(work.inputs["prompts"], Prompt):
        taken = [route.take(prompt.id) for route in routes]
        asked += any(taken)
    return asked


def _limit(file: Path, most: int, seed: int) -> Counter[str]:
    """Keep so many of a teacher's prompts, drawn by hash; count them by language."""
    draw = Draw(most, seed)
    for row in read_rows(file, Route):
        draw.show(row.prompt_id)
    kept = (row for row in read_rows(file, Route) if draw.keeps(row.prompt_id))
    with writing_file(file) as partial:
        write_rows(partial.parent, Route, kept, partial.name)
    return Counter(row.language for row in read_rows(file, Route))
