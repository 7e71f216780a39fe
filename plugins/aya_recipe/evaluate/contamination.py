"""Contamination: which rows that models are evaluated on occur in what they were trained on.

Two measures. A row is `exact` where one of its texts is, but for case and white space, a prompt or an answer of a training row. It is
`overlapping` where a passage of it (see `passages.py`) occurs in one; passages that more than ten rows of an evaluator share in a
language are its template, and do not count. Training rows are those that the recipe reads for the models and for all that they
were made with: teachers and reward models, too.

Cost: one pass over the training rows, two over what is evaluated; memory holds a sieve of the evaluated passages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from aya_core.api import (
    ROWS_KINDS,
    Builder,
    Columns,
    Context,
    GenerationRequest,
    Prompt,
    ScoringRequest,
    Work,
    count_rows,
    read_rows,
    write_rows,
)
from aya_recipe.evaluate import replying
from aya_recipe.evaluate.passages import Sieve, canonical, passages

TEMPLATE = 10
"""A passage that more rows of an evaluator and language share comes from their template, as in GPT-3's filter."""

PASSAGES = 64
"""Passages of a row, about, for the size of the sieve."""

ASKED, TRAINED = "asked.", "trained."
"""What the roles of the inputs begin with; a name follows."""

LEARNED = ("prompt", "completion", "chosen", "rejected")
"""Columns of training rows that hold messages."""


@dataclass(frozen=True, slots=True)
class Contaminated(Columns):
    """A row that occurs in training rows. source: whose it is. passages: how many of it occur; exact: whether all of it does."""

    source: str
    language: str
    row_id: str
    exact: int
    passages: int

    columns: ClassVar[Mapping[str, str]] = {
        "source": "string", "language": "string", "row_id": "string", "exact": "int", "passages": "int",
    }  # fmt: skip


class _Row(NamedTuple):
    """A row that is evaluated on. texts: ways to write it down."""

    source: str
    language: str
    id: str
    texts: tuple[str, ...]


def add(build: Builder, stage: str, models: Iterable[str], asked: Mapping[str, str]) -> str | None:
    """Add the node that compares, and return its id; None where nothing was read to train the models.

    asked: rows or requests that models are evaluated on, by name.
    """
    inputs = {f"{ASKED}{name}": id for name, id in asked.items() if id in build.nodes}
    trained = {f"{TRAINED}{place}": id for place, id in enumerate(_read_for(build, models))}
    if not inputs or not trained:
        return None
    return build.add(f"{stage}.contamination", "find-contamination", "contamination", {}, {**inputs, **trained})


def find(work: Work) -> Mapping[str, Any]:
    """Count the rows that occur in training rows, by evaluator and language, and write down which."""
    asked = {role: folder for role, folder in work.inputs.items() if role.startswith(ASKED)}
    sieve = Sieve(PASSAGES * sum(count_rows(file) for folder in asked.values() for file in folder.glob("*.parquet")))
    wholes: set[int] = set()
    counts: Counter[tuple[str, str]] = Counter()
    for row in _asked(asked):
        counts[row.source, row.language] += 1
        for text in row.texts:
            wholes.add(hash(canonical(text)))
        for passage in _passages(row):
            sieve.add(passage)
    learned_wholes: set[int] = set()
    learned: set[int] = set()
    rows = 0
    for texts in _trained(folder for role, folder in work.inputs.items() if role.startswith(TRAINED)):
        rows += 1
        for text in texts:
            whole = hash(canonical(text))
            if whole in wholes:
                learned_wholes.add(whole)
            learned.update(passage for passage in passages(text) if passage in sieve)
    found = _found(_asked(asked), learned_wholes, learned)
    write_rows(work.out, Contaminated, found)
    exact = Counter((row.source, row.language) for row in found if row.exact)
    overlapping = Counter((row.source, row.language) for row in found if row.passages)
    by_source: dict[str, dict[str, dict[str, int]]] = {}
    for (source, language), count in sorted(counts.items()):
        key = (source, language)
        by_source.setdefault(source, {})[language] = {
            "rows": count, "exact": exact[key], "overlapping": overlapping[key],
        }  # fmt: skip
    return {"training_rows": rows, "exact": exact.total(), "overlapping": overlapping.total(), "by_source": by_source}


def _found(asked: Iterable[_Row], wholes: set[int], learned: set[int]) -> list[Contaminated]:
    """The rows that occur, without passages that are a template's."""
    rows: list[tuple[_Row, bool, set[int]]] = []
    shared: Counter[tuple[str, str, int]] = Counter()
    for row in asked:
        exact = any(hash(canonical(text)) in wholes for text in row.texts)
        common = _passages(row) & learned
        if exact or common:
            rows.append((row, exact, common))
            shared.update((row.source, row.language, passage) for passage in common)
    found = []
    for row, exact, common in rows:
        own = sum(shared[row.source, row.language, passage] <= TEMPLATE for passage in common)
        if exact or own:
            found.append(Contaminated(row.source, row.language, row.id, int(exact), own))
    return found


def _passages(row: _Row) -> set[int]:
    return set().union(*map(passages, row.texts))


def _read_for(build: Builder, models: Iterable[str]) -> list[str]:
    """Nodes and folders of rows from which the models, and all that they were made with, were trained; not those held out."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [model for model in models if model in build.nodes]
    while waiting:
        id = waiting.pop()
        if id in seen:
            continue
        seen.add(id)
        node = build.nodes[id]
        if node.action == "read" or (node.kind in ROWS_KINDS and not node.inputs):
            found[id] = None
        found.update(dict.fromkeys(path for role, path in node.external.items() if role in ("rows", "prompts")))
        if node.alias_of is not None:
            waiting.append(node.alias_of)
        waiting += [other for role, other in node.inputs.items() if role != "validation" and node.action != "check"]
    return sorted(found)


def _asked(folders: Mapping[str, Path]) -> Iterator[_Row]:
    for role, folder in folders.items():
        source = role.removeprefix(ASKED)
        if not (folder / replying.SCORING).is_file():
            for prompt in read_rows(folder, Prompt):
                yield _Row(source, prompt.language, prompt.id, (_text(prompt.messages),))
            continue
        for request in read_rows(folder / replying.GENERATION, GenerationRequest):
            yield _Row(source, request.prompt.language, request.prompt.id, (_text(request.prompt.messages),))
        before = ""
        for asked in read_rows(folder / replying.SCORING, ScoringRequest):
            texts = [_text(one.context) for one in asked.continuations]
            start = _begun(before, texts[0]) if texts else 0
            before = texts[0] if texts else ""
            whole = [f"{text[start:]}{one.text}" for text, one in zip(texts, asked.continuations, strict=True)]
            yield _Row(
                source, asked.language, asked.id, tuple(dict.fromkeys((*(text[start:] for text in texts), *whole)))
            )


def _begun(before: str, text: str) -> int:
    """Where a text begins to be its own: behind the lines that it begins with as the one before does, such as examples."""
    same, longest = 0, min(len(before), len(text))
    while same < longest:  # by halves: examples are long
        middle = (same + longest + 1) // 2
        if before[:middle] == text[:middle]:
            same = middle
        else:
            longest = middle - 1
    return 0 if same == len(text) else text.rfind("\n", 0, same) + 1


def _trained(folders: Iterable[Path]) -> Iterator[list[str]]:
    """The texts of each training row."""
    import pyarrow.parquet

    for folder in folders:
        for file in sorted(folder.glob("*.parquet")):
            with pyarrow.parquet.ParquetFile(file) as rows:
                columns = [name for name in LEARNED if name in rows.schema_arrow.names]
                for batch in rows.iter_batches(1024, columns=columns):
                    for values in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                        yield [_text(tuple(messages)) for messages in values if messages]


def _text(context: Context) -> str:
    return context if isinstance(context, str) else "\n".join(turn["content"] for turn in context)
