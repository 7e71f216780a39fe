"""What has changed since a step was done before: why it does not stand, and which answers it would have to ask for anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.contract.artifacts import MANIFEST, PAYLOAD, Artifact, load
from aya_core.contract.errors import ArtifactError, AyaError
from aya_core.planning.plan import Node
from aya_core.running.asking.asked import Asked, asked_in
from aya_core.running.asking.reuse import KEY, journal_files
from aya_core.running.work import SCRATCH

SHOWN = 12
"""Digits of a content hash that are shown."""

CHARACTERS = 60
"""Of a setting that are shown."""

TOKENS = "completion_tokens"
"""The column of answers that counts their tokens."""


class Difference(NamedTuple):
    """Something that decides a result and is not what it was. None stands for what was not there, or is there no more."""

    what: str
    before: str | None
    now: str | None

    def __str__(self) -> str:
        """As `aya plan --why` prints it."""
        return f"{self.what}: was {self.before or 'not there'}, is {self.now or 'not there'}"


def first_difference(node: Node, folders: Sequence[Path], contents: Mapping[str, str]) -> Difference | None:
    """Compare a node with the artifact that differs in the fewest things from it; None where there is none, or no difference.

    folders: all that were made for it. contents: of its inputs, those that are known.
    """
    found = [list(_differences(node, artifact, contents)) for artifact in map(_load, folders) if artifact is not None]
    nearest = min(found, key=len, default=[])
    return nearest[0] if nearest else None


@dataclass(frozen=True)
class AtStake:
    """What one step has been told by code that has changed since.

    changed: the identity before and now, by label. cost: of the tokens, by currency, where the teacher has a price.
    """

    node: str
    changed: Mapping[str, tuple[str | None, str | None]]
    answers: int
    tokens: int
    cost: Mapping[str, float] = field(default_factory=dict)


def at_stake(node: Node, folders: Sequence[Path], contents: Mapping[str, str]) -> AtStake | None:
    """Look at a node that does not stand: whether the same was asked for it before, of other code only.

    folders: all that were made for it. contents: of its inputs, those that are known.
    """
    if not node.asked:
        return None
    asked = Asked.of(node, contents)
    before = {folder: found for folder in folders if (found := asked_in(folder)) and asked.is_question_of(found)}
    if any(found.code == asked.code and (folder / MANIFEST).is_file() for folder, found in before.items()):
        return None  # this code has been asked since, and what it said is taken over
    counted = {folder: _count(folder) for folder, found in before.items() if found.code != asked.code}
    if not counted:
        return None
    folder = max(counted, key=lambda one: counted[one])
    answers, tokens, prompt_tokens = counted[folder]
    if not answers:
        return None
    changed = dict(sorted(_unequal(before[folder].code, asked.code)))
    return AtStake(node.id, changed, answers, tokens, _cost(node, tokens, prompt_tokens))


def refuse(found: Iterable[AtStake]) -> None:
    """Raise AyaError where anything is at stake: whose code changed, and what asking anew would cost."""
    steps: dict[str, list[AtStake]] = {}
    for one in found:
        labels = ", ".join(
            f"{label} ({before or 'none'} -> {now or 'none'})" for label, (before, now) in one.changed.items()
        )
        steps.setdefault(labels, []).append(one)
    if not steps:
        return
    lines = []
    for labels, several in steps.items():
        answers, tokens = sum(one.answers for one in several), sum(one.tokens for one in several)
        cost: Counter[str] = Counter()
        for one in several:
            cost.update(one.cost)
        worth = "".join(f", {amount:,.2f} {currency}" for currency, amount in cost.items())
        size = f"{answers:,} answers or verdicts" + (f" ({tokens:,} tokens{worth})" if tokens else "")
        names = ", ".join(one.node for one in several[:3]) + (
            f" and {len(several) - 3} more" if len(several) > 3 else ""
        )
        lines.append(f"the code of {labels} has changed since it gave {size} in {names}")
    raise AyaError(
        "\n".join(lines)
        + "\nNothing was done. Say --keep to take them over all the same, which the artifacts record, or "
        "--redo to ask anew. (Whoever changed the code without changing what it answers can also seal it: docs/design.md)"
    )


def _load(folder: Path) -> Artifact | None:
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return load(folder)
    except ArtifactError:  # of an earlier format or damaged: nothing to compare with
        return None


def _differences(node: Node, made: Artifact, contents: Mapping[str, str]) -> Iterator[Difference]:
    """What decides a result and differs: code, settings, seed, inputs."""
    for label, (before, now) in _unequal(made.code, node.code):
        yield Difference(f"code of {label}", before, now)
    for path, (before, now) in _unequal(dict(_leaves(made.identity)), dict(_leaves(node.identity))):
        yield Difference(f"setting {path}", _cut(before), _cut(now))
    if made.seed != node.seed:
        yield Difference("seed", str(made.seed), str(node.seed))
    roles = {*node.inputs, *node.external}
    for role, (before, now) in _unequal(made.inputs, contents):
        if role in contents or role not in roles:  # what is to be made has no content yet
            where = node.inputs.get(role) or node.external.get(role)
            yield Difference(f"content of {role}" + (f" ({where})" if where else ""), _digits(before), _digits(now))


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in dict.fromkeys((*now, *before)):
        if before.get(key) != now.get(key):
            yield key, (before.get(key), now.get(key))


def _leaves(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its dotted path, as text."""
    if isinstance(settings, Mapping) and settings:
        for key, value in settings.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(settings, (list, tuple)) and settings:
        for index, value in enumerate(settings):
            yield from _leaves(value, f"{path}.{index}")
    else:
        yield path, repr(list(settings) if isinstance(settings, tuple) else settings)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= CHARACTERS else f"{text[:CHARACTERS]}..."


def _digits(content: str | None) -> str | None:
    return None if content is None else content[:SHOWN]


def _cost(node: Node, tokens: int, prompt_tokens: int) -> dict[str, float]:
    """What the tokens of a teacher's answers and prompts cost, by currency; nothing without a price."""
    teacher = node.settings.get("teacher")
    price = teacher.get("price") if isinstance(teacher, dict) else None
    if price is None:
        return {}
    return {price["currency"]: (prompt_tokens * price["prompt"] + tokens * price["answer"]) / 1e6}


def _count(folder: Path) -> tuple[int, int, int]:
    """Rows with the key of an item, which are answers or verdicts, and the tokens of the answers among them and of their prompts, each
    prompt once."""
    import pyarrow
    import pyarrow.parquet

    total: Counter[str] = Counter()
    for file in sorted((folder / PAYLOAD).rglob("*.parquet")):
        try:
            with pyarrow.parquet.ParquetFile(file) as table:
                names = table.schema_arrow.names
                if KEY in names:
                    total["rows"] += table.metadata.num_rows
                    if TOKENS in names:
                        read = table.read([TOKENS, "prompt_tokens", "index"])
                        total["tokens"] += sum(read.column(TOKENS).to_pylist())
                        indexed = zip(
                            read.column("index").to_pylist(), read.column("prompt_tokens").to_pylist(), strict=True
                        )
                        total["prompt tokens"] += sum(many for index, many in indexed if index == 0)
        except (OSError, pyarrow.ArrowException):  # half-written, where a machine went down
            continue
    for journal in journal_files(folder / SCRATCH, "*"):
        total["rows"] += journal.read_bytes().count(b"\n")
    return total["rows"], total["tokens"], total["prompt tokens"]
