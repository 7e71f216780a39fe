"""Reading a data set once, for all that use it: the one action that the core has itself.

A stage gets such a step from `Builder.rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aya_core.contract.artifacts import write_rows
from aya_core.contract.errors import DataError, PluginError
from aya_core.contract.id_set import IdSet
from aya_core.contract.kinds import AccountingDataset
from aya_core.contract.languages import counts_as, is_edition, plain_language
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
    kind, languages = work.setting("kind"), tuple(work.setting("languages"))
    record = ROW_RECORDS[kind]
    dataset = work.strategy("dataset").build()
    chosen = _Chosen(languages, is_grouped=kind == "groups")

    def wanted() -> Iterator[ExampleRow]:
        for row in chosen.rows(lambda: dataset.rows(work.node.seed)):
            prompt = prompt_of(row)
            if kind == "groups" and isinstance(row, Demonstration) and row.score is None:
                raise DataError(f"an answer to '{prompt.id}' has no score; groups need one of each answer")
            if kind == "prompts":
                if not prompt.messages:
                    raise DataError(
                        f"row '{prompt.id}' is a text without a prompt, which trainers learn as it is; expected prompts{_read_as(dataset)}"
                    )
                if prompt.more:
                    raise DataError(
                        f"prompt '{prompt.id}' holds more than text ({prompt.more}), which teachers and judges would not see; leave such "
                        "rows out"
                    )
                yield prompt
            elif isinstance(row, record):
                yield row
            elif isinstance(row, Preference) and not row.is_pair:
                raise DataError(
                    f"row '{prompt.id}' is an answer with a label that says whether it is good; expected {kind}: keep the rows that are "
                    "good and leave out their label, or train on preferences with an objective that takes single answers"
                    f"{_read_as(dataset)}"
                )
            else:
                raise DataError(
                    f"row '{prompt.id}' is a {type(row).__name__.lower()}; expected {kind} "
                    f"(columns: {', '.join(record.columns)}){_read_as(dataset)}"
                )

    count = write_rows(work.out, record, wanted())
    if count == 0:
        raise DataError(f"the data set has no rows in the recipe's languages{_others(chosen.left_out, languages)}")
    measures = {"left_out": chosen.left_out, "counted_as": chosen.counted_as}
    account = dataset.account() if isinstance(dataset, AccountingDataset) else {}
    return {
        "rows": count,
        **{name: dict(sorted(counts.items())) for name, counts in measures.items() if counts},
        **account,
    }


class _Chosen:
    """Chooses the rows in some languages, and gives them these.

    left_out: rows by language that count as none of them. counted_as: rows of an edition that the recipe does not name and that count
    as its language, such as {"zh-Hant as zh": 3}. They come last. An item that is there in the language itself is left out in an edition.
    """

    def __init__(self, languages: Sequence[str], *, is_grouped: bool) -> None:
        self.left_out: Counter[str] = Counter()
        self.counted_as: Counter[str] = Counter()
        self._languages = frozenset(languages)
        self._is_grouped = is_grouped
        self._seen = IdSet()
        self._before: Prompt | None = None

    def rows(self, read: Callable[[], Iterable[ExampleRow]]) -> Iterator[ExampleRow]:
        """Yield the rows, of which `read` starts to read all, once or twice."""
        editions = False
        for row in read():
            if not isinstance(row, (Prompt, Demonstration, Preference)):
                raise PluginError(
                    f"the data set yielded {type(row).__name__}; expected Prompt, Demonstration or Preference"
                )
            prompt = prompt_of(row)
            language = counts_as(prompt.language, self._languages)
            if language is None:
                self.left_out[prompt.language] += 1
            elif is_edition(prompt.language, language):
                editions = True
            elif self._is_new(prompt, prompt.id):
                yield _in_language(row, language)
            else:
                expected = (
                    "the answers to a prompt must come one after the other" if self._is_grouped else "ids must differ"
                )
                raise DataError(f"the data set has the id '{prompt.id}' twice; {expected}")
        yield from self._editions(read()) if editions else ()

    def _editions(self, rows: Iterable[ExampleRow]) -> Iterator[ExampleRow]:
        for row in rows:
            prompt = prompt_of(row)
            language = counts_as(prompt.language, self._languages)
            if language is None or not is_edition(prompt.language, language):
                continue
            if self._is_new(prompt, prompt.id.replace(prompt.language, plain_language(language), 1)):
                self.counted_as[f"{prompt.language} as {language}"] += 1
                yield _in_language(row, language)
            else:
                self.left_out[prompt.language] += 1

    def _is_new(self, prompt: Prompt, id: str) -> bool:
        """Whether a row is the first with its id, or another answer of the group before."""
        is_same_group, self._before = self._is_grouped and prompt == self._before, prompt
        return is_same_group or self._seen.add(id)


def _in_language(row: ExampleRow, language: str) -> ExampleRow:
    if isinstance(row, Prompt):
        return row if row.language == language else replace(row, language=language)
    return row if row.prompt.language == language else replace(row, prompt=replace(row.prompt, language=language))


def _others(left_out: Mapping[str, int], languages: Collection[str]) -> str:
    """Say what the rows were in that were left out, and what to do."""
    if not left_out:
        return ""
    others = f"; it has {sum(left_out.values()):,} rows in other languages: {', '.join(sorted(left_out))}"
    if UNKNOWN_LANGUAGE in left_out:
        others += (
            f". '{UNKNOWN_LANGUAGE}' are rows that do not say: set language, language_from_name or columns.language"
        )
    elif any(code.split("-")[0] in {one.split("-")[0] for one in languages} for code in left_out):
        others += "; add it to the recipe's `languages`, or say by the data set's map `languages` what it counts as"
    return others


def language_sentences(measures: Mapping[str, Any]) -> Sequence[str]:
    """Say which rows a step left out for their language, or counted as another, by what `read_data` measured."""
    found = []
    left_out, counted_as = (measures.get(name) for name in ("left_out", "counted_as"))
    if isinstance(left_out, Mapping) and left_out:
        rows = measures["rows"] + sum(left_out.values())
        found.append(
            f"{sum(left_out.values()):,} of {rows:,} rows are left out, in languages that the recipe does not name: {_counts(left_out)}"
        )
    if isinstance(counted_as, Mapping) and counted_as:
        found.append(f"rows counted as another language: {_counts(counted_as)}")
    return found


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _read_as(dataset: Any) -> str:
    """From which columns a data set reads its rows, for messages."""
    ways = dataset.account().get("columns", {}) if isinstance(dataset, AccountingDataset) else {}
    return f"; read as: {'; '.join(ways)}" if ways else ""


def phrases(measures: Mapping[str, Any]) -> Sequence[str]:
    """Say how many rows were read from which columns, and how many gave no pair."""
    if "rows" not in measures:
        return ()
    said = [f"{measures['rows']:,} rows"]
    ways = measures.get("columns") or {}
    said += [way if len(ways) == 1 else f"{way} ({count:,})" for way, count in ways.items()]
    said += [f"{count:,} left out: {reason}" for reason, count in (measures.get("without_pair") or {}).items()]
    return said


ACTIONS: Mapping[str, Action] = {"read": Action(read_data, phrases=phrases, version=3)}
"""The actions of the core, by name."""
