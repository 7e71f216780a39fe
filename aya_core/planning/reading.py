"""Reading a data set once, for all that use it: the one action that the core has itself.

A stage gets such a step from `Builder.rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aya_core.contract.artifacts import write_rows
from aya_core.contract.errors import DataError, PluginError
from aya_core.contract.id_set import IdSet
from aya_core.contract.kinds import AccountingDataset
from aya_core.contract.records import UNKNOWN_LANGUAGE, Demonstration, ExampleRow, Preference, Prompt
from aya_core.contract.stage import Action

if TYPE_CHECKING:
    from aya_core.running.work import Work

ROW_RECORDS: Mapping[str, type[Any]] = {
    "prompts": Prompt,
    "demonstrations": Demonstration,
    "preferences": Preference,
    "groups": Demonstration,
}
"""The record of each kind of rows that a data set can yield."""


def prompt_of(row: ExampleRow) -> Prompt:
    """The prompt of any row."""
    return row if isinstance(row, Prompt) else row.prompt


def read_data(work: Work) -> Mapping[str, Any]:
    """Read a data set into rows of the wanted kind, leaving out languages that the recipe does not name."""
    kind, languages = work.setting("kind"), frozenset(work.setting("languages"))
    record = ROW_RECORDS[kind]
    dataset = work.strategy("dataset").build()
    seen = IdSet()
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
                    f"(columns: {', '.join(record.columns)}){_read_as(dataset)}"
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
    account = dataset.account() if isinstance(dataset, AccountingDataset) else {}
    return {"rows": count, **({"left_out": dict(sorted(left_out.items()))} if left_out else {}), **account}


def _read_as(dataset: Any) -> str:
    """From which columns a data set reads its rows, for messages."""
    ways = dataset.account().get("columns", {}) if isinstance(dataset, AccountingDataset) else {}
    return f"; read as: {'; '.join(ways)}" if ways else ""


def phrases(measures: Mapping[str, Any]) -> Sequence[str]:
    """Say how many rows were read from which columns, and how many were left out."""
    if "rows" not in measures:
        return ()
    said = [f"{measures['rows']:,} rows"]
    ways = measures.get("columns") or {}
    said += [way if len(ways) == 1 else f"{way} ({count:,})" for way, count in ways.items()]
    said += [f"{count:,} left out: {reason}" for reason, count in (measures.get("without_pair") or {}).items()]
    if left_out := measures.get("left_out"):
        codes = ", ".join(f"{code} {count:,}" for code, count in left_out.items())
        said.append(f"{sum(left_out.values()):,} left out in other languages ({codes})")
    return said


ACTIONS: Mapping[str, Action] = {"read": Action(read_data, phrases=phrases)}
"""The actions of the core, by name."""
