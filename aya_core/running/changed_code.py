"""Answers and verdicts that a run would ask for anew because the code that gave them has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aya_core.contract.artifacts import MANIFEST, PAYLOAD
from aya_core.contract.errors import AyaError
from aya_core.planning.plan import Node
from aya_core.running.asking.asked import Asked, asked_in
from aya_core.running.asking.keyed import KEY

TOKENS = "completion_tokens"
"""The column of answers that counts their tokens."""


@dataclass(frozen=True)
class AtStake:
    """What one step has been told by code that has changed since. changed: the identity before and now, by label."""

    node: str
    changed: Mapping[str, tuple[str | None, str | None]]
    answers: int
    tokens: int


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
    answers, tokens = counted[folder]
    return AtStake(node.id, _differences(before[folder].code, asked.code), answers, tokens) if answers else None


def refuse(found: Iterable[AtStake]) -> None:
    """Raise AyaError where anything is at stake: whose code changed, and what asking anew would cost."""
    steps: dict[str, list[AtStake]] = {}
    for one in found:
        told = ", ".join(
            f"{label} ({before or 'none'} -> {now or 'none'})" for label, (before, now) in one.changed.items()
        )
        steps.setdefault(told, []).append(one)
    if not steps:
        return
    lines = []
    for told, several in steps.items():
        answers, tokens = sum(one.answers for one in several), sum(one.tokens for one in several)
        size = f"{answers:,} answers or verdicts" + (f" ({tokens:,} tokens)" if tokens else "")
        names = ", ".join(one.node for one in several[:3]) + (
            f" and {len(several) - 3} more" if len(several) > 3 else ""
        )
        lines.append(f"the code of {told} has changed since it gave {size} in {names}")
    raise AyaError(
        "\n".join(lines)
        + "\nNothing was done. Say --keep to take them over all the same, which the artifacts record, or "
        "--redo to ask anew. (Whoever changed the code without changing what it answers can also seal it: docs/design.md)"
    )


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    labels = sorted({*before, *now})
    return {label: (before.get(label), now.get(label)) for label in labels if before.get(label) != now.get(label)}


def _count(folder: Path) -> tuple[int, int]:
    """Rows with the key of an item, which are answers or verdicts, and the tokens of the answers among them."""
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
                        total["tokens"] += sum(table.read([TOKENS]).column(TOKENS).to_pylist())
        except (OSError, pyarrow.ArrowException):  # half-written, where a machine went down
            continue
    for journal in sorted((folder / "work").glob("journal-*.jsonl")):
        total["rows"] += journal.read_bytes().count(b"\n")
    return total["rows"], total["tokens"]
