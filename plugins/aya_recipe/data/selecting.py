"""Rows: choosing those of a language cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from aya_core.api import (
    ROW_RECORDS,
    Builder,
    DataError,
    ExampleRow,
    Work,
    prompt_of,
    read_rows,
    stable_hash,
    write_rows,
)


def select(
    build: Builder, rows: str, id: str, kind: str, languages: Sequence[str], own: float, limit: int | None
) -> str:
    """Add the node that chooses rows by language, and return its id. kind: of the rows; "any" for what the node makes."""
    if rows in build.nodes:
        kind = build.nodes[rows].kind
    elif kind == "any":
        raise build.error("data", f"the kind of the rows in {rows} is not known; name a stage or a data set")
    settings = {"languages": list(languages), "own": own, "limit": limit}
    return build.add(id, "select", kind, settings, {"rows": rows})


def check_own(own: float, each: str | None) -> None:
    """Refuse a share of own rows where there are no clusters."""
    if each is None and own != 1.0:
        raise ValueError("`own` is about the rows of a cluster; it goes with `each: cluster`")


def choose(work: Work) -> Mapping[str, Any]:
    """Choose a cluster's rows: all in its own languages, and as many others as make `own` their share.

    Which others, and which rows within a limit, is decided by a hash of seed and row, so that it does not depend on
    order. A group counts as one row, and is kept whole.
    """
    languages, own, limit = frozenset(work.setting("languages")), work.setting("own"), work.setting("limit")
    record = ROW_RECORDS[work.node.kind]
    inside: list[Sequence[Any]] = []
    outside: list[Sequence[Any]] = []
    for unit in _units(read_rows(work.inputs["rows"], record), work.node.kind):
        (inside if prompt_of(unit[0]).language in languages else outside).append(unit)
    if not inside:
        raise DataError(f"no row is in one of the languages {', '.join(sorted(languages))}")

    def drawn(unit: Sequence[ExampleRow]) -> str:
        return stable_hash([work.node.seed, prompt_of(unit[0]).id])

    kept = inside + sorted(outside, key=drawn)[: round(len(inside) * (1 - own) / own)]
    count = sum(map(len, kept))
    if limit is not None and len(kept) > limit:
        kept = sorted(kept, key=drawn)[:limit]
    rows = [row for unit in kept for row in unit]
    write_rows(work.out, record, rows)
    of = {"of": count} if count > len(rows) else {}
    return {"rows": len(rows), **of, "own": sum(prompt_of(row).language in languages for row in rows)}


def _units(rows: Iterable[Any], kind: str) -> Iterator[Sequence[Any]]:
    """Yield what is kept or left out as a whole: a group, or else a row."""
    if kind != "groups":
        return ((row,) for row in rows)
    return (tuple(group) for _, group in groupby(rows, key=lambda row: row.prompt.id))
