"""Rows: reading a data set once, and choosing the rows of a language cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from aya_core.artifacts import read_rows, stable_hash, write_rows
from aya_core.errors import DataError, PluginError
from aya_core.plan import Builder
from aya_core.records import UNKNOWN_LANGUAGE, Demonstration, ExampleRow, Preference, Prompt
from aya_core.seen import Seen
from aya_core.stage_settings import DataStage
from aya_core.stages.work import Work

RECORDS: Mapping[str, type[Any]] = {
    "prompts": Prompt,
    "demonstrations": Demonstration,
    "preferences": Preference,
    "groups": Demonstration,
}
"""The record of each kind of rows."""


def unroll(stage: DataStage, build: Builder) -> None:
    """One node that holds the rows."""
    build.name(stage.name, build.rows(stage.rows, "rows", stage.kind, stage.name))


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


def prompt_of(row: ExampleRow) -> Prompt:
    """The prompt of any row."""
    return row if isinstance(row, Prompt) else row.prompt


def read(work: Work) -> Mapping[str, Any]:
    """Read a data set into rows of the wanted kind, leaving out languages that the recipe does not name."""
    kind, languages = work.setting("kind"), frozenset(work.setting("languages"))
    record = RECORDS[kind]
    dataset = work.strategy("dataset").build()
    seen = Seen()
    left_out: Counter[str] = Counter()
    before: Prompt | None = None

    def wanted() -> Iterator[ExampleRow]:
        nonlocal before
        for row in dataset.rows(work.node.seed):
            if not isinstance(row, (Prompt, Demonstration, Preference)):
                raise PluginError(
                    f"the data set yielded {type(row).__name__}; expected Prompt, Demonstration or Preference"
                )
            prompt = prompt_of(row)
            if prompt.language not in languages:
                left_out[prompt.language] += 1
                continue
            is_same_group, before = kind == "groups" and prompt == before, prompt
            if not is_same_group and not seen.add(prompt.id):
                expected = (
                    "the answers to a prompt must come one after the other" if kind == "groups" else "ids must differ"
                )
                raise DataError(f"the data set has the id '{prompt.id}' twice; {expected}")
            if kind == "groups" and isinstance(row, Demonstration) and row.score is None:
                raise DataError(f"an answer to '{prompt.id}' has no score; groups need one of each answer")
            if kind == "prompts":
                yield prompt
            elif isinstance(row, record):
                yield row
            else:
                raise DataError(
                    f"row '{prompt.id}' is a {type(row).__name__.lower()}; expected {kind} "
                    f"(columns: {', '.join(record.columns)})"
                )

    count = write_rows(work.out, record, wanted())
    if count == 0:
        others = ""
        if left_out:
            codes = ", ".join(sorted(left_out))
            others = f"; it has {sum(left_out.values())} rows in other languages: {codes}"
            if UNKNOWN_LANGUAGE in left_out:
                others += f". '{UNKNOWN_LANGUAGE}' are rows that do not say: set language, language_from_name or columns.language"
            elif any(code.split("-")[0] in languages for code in left_out):
                others += "; write the code as the recipe does, or add it to the recipe's `languages`"
        raise DataError(f"the data set has no rows in the recipe's languages{others}")
    return {"rows": count, **({"left_out": dict(sorted(left_out.items()))} if left_out else {})}


def choose(work: Work) -> Mapping[str, Any]:
    """Choose a cluster's rows: all in its own languages, and as many others as make `own` their share.

    Which others, and which rows within a limit, is decided by a hash of seed and row, so that it does not depend on
    order. A group counts as one row, and is kept whole.
    """
    languages, own, limit = frozenset(work.setting("languages")), work.setting("own"), work.setting("limit")
    record = RECORDS[work.node.kind]
    inside: list[Sequence[Any]] = []
    outside: list[Sequence[Any]] = []
    for unit in _units(read_rows(work.inputs["rows"], record), work.node.kind):
        (inside if prompt_of(unit[0]).language in languages else outside).append(unit)
    if not inside:
        raise DataError(f"no row is in one of the languages {', '.join(sorted(languages))}")

    def drawn(unit: Sequence[ExampleRow]) -> str:
        return stable_hash([work.node.seed, prompt_of(unit[0]).id])

    kept = inside + sorted(outside, key=drawn)[: round(len(inside) * (1 - own) / own)]
    if limit is not None and len(kept) > limit:
        kept = sorted(kept, key=drawn)[:limit]
    rows = [row for unit in kept for row in unit]
    write_rows(work.out, record, rows)
    return {"rows": len(rows), "own": sum(prompt_of(row).language in languages for row in rows)}


def _units(rows: Iterable[Any], kind: str) -> Iterator[Sequence[Any]]:
    """Yield what is kept or left out as a whole: a group, or else a row."""
    if kind != "groups":
        return ((row,) for row in rows)
    return (tuple(group) for _, group in groupby(rows, key=lambda row: row.prompt.id))
