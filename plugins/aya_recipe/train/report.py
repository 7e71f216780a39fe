"""The section of a train stage: an account of each of its runs, from their artifacts and logs alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from aya_core.api import LOG, Artifact, Block, Section, StageRecord, Text
from aya_recipe.report.blocks import table_of

VALIDATION = "validation/"
"""Begins the names of measures of held-out rows; those of one language end in `/LANGUAGE`."""


def quantity(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1."""
    return f"{100 * share:.0f}%"


def speed(per_second: float) -> str:
    """Something per second, in thousands where there are many."""
    return f"{per_second / 1000:.1f}k" if per_second >= 10_000 else f"{per_second:.0f}"


LEARNED: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", quantity),
    "rewards/margins": ("margin", quantity),
    "rewards/accuracies": ("accuracy", percent),
    "accuracy": ("accuracy", percent),
    "reward": ("reward", quantity),
    "kl": ("KL", quantity),
}
"""What a trainer learns by: the word for each measure, and how its value is written."""


def learned(measures: Mapping[str, float], prefix: str = "") -> Mapping[str, str]:
    """The measures by which a trainer learns: values as text by word. prefix: before their names."""
    return {
        word: written(measures[prefix + name])
        for name, (word, written) in LEARNED.items()
        if measures.get(prefix + name) is not None
    }


def words(measures: Mapping[str, float]) -> list[str]:
    """How a training run goes, as phrases for one line."""
    phrases = [f"{word} {value}" for word, value in learned(measures).items()]
    held_out = next(iter(learned(measures, VALIDATION).items()), None)
    if held_out is not None:
        phrases.append(f"held-out {held_out[0]} {held_out[1]}")
    if "tokens_per_second" in measures:
        phrases.append(f"{speed(measures['tokens_per_second'])} tokens/s")
    if "memory_mib" in measures:
        phrases.append(f"{measures['memory_mib'] / 1024:.1f} GiB")
    return phrases


DROPPED = "dropped/"
"""Begins the names of counts of dropped rows, which end in the reason."""


def section(stage: StageRecord) -> Section | None:
    """Say what training gained; None where no run stands."""
    accounts = gather(stage)
    return Section(f"{stage.name}: training", accounts, list(_blocks(accounts))) if accounts else None


def _blocks(accounts: Mapping[str, Mapping[str, Any]]) -> Iterator[Block]:
    """Measures from the first report to the last, held-out ones by language, rows and speed."""
    yield from table_of(gains_table(accounts))
    yield from table_of(held_out_table(accounts))
    for step, account in accounts.items():
        if phrases := row_phrases(account):
            yield Text(f"{step}: {'; '.join(phrases)}" if len(accounts) > 1 else "; ".join(phrases))


def gather(stage: StageRecord) -> dict[str, dict[str, Any]]:
    """Account for every training run of a stage that stands, by step.

    measures: the final ones. first: the first report of each measure. tokens_per_second: the median report. seconds: all
    that it took. read: the measures of the node that read or chose the rows, where it is one of this stage.
    """
    accounts = {}
    for step in stage.steps.values():
        artifact = stage.run.own(step.id)
        if step.action != "train" or artifact is None:
            continue
        log = list(_lines(artifact))
        first: dict[str, float] = {}
        for line in log:
            first = {**line, **first}
        speeds = [line["tokens_per_second"] for line in log if "tokens_per_second" in line]
        accounts[step.id] = {
            "seconds": artifact.seconds,
            "measures": dict(artifact.measures),
            "first": first,
            "tokens_per_second": median(speeds) if speeds else None,
            "read": _read(stage, step.inputs.get("rows", "")),
        }
    return accounts


def _lines(artifact: Artifact) -> Iterator[Mapping[str, float]]:
    with suppress(FileNotFoundError), (artifact.folder / LOG).open() as file:
        for line in file:
            with suppress(ValueError):  # the half line of a killed run
                read = json.loads(line)
                yield {name: value for name, value in read.items() if name not in ("done", "total", "time")}


def gains_table(accounts: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """What each run learned, from its first report to its last, the header first."""
    found = [word for account in accounts.values() for word in learned(account["measures"])]
    words = [*dict.fromkeys(found), "steps", "tokens/s", "seconds"]
    yield ["", *words]
    for node, account in accounts.items():
        phrases = _from_to(account["first"], account["measures"])
        pace = account["tokens_per_second"]
        phrases |= {"tokens/s": "" if pace is None else speed(pace), "seconds": f"{account['seconds']:.1f}"}
        phrases["steps"] = f"{account['measures'].get('steps', 0):,.0f}"
        yield [node, *(phrases.get(word, "") for word in words)]


def held_out_table(accounts: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """The same on held-out rows, over all and by language; nothing where there are none."""
    rows = list(_held_out(accounts))
    if rows:
        words = list(dict.fromkeys(word for _, phrases in rows for word in phrases))
        yield ["held out", *words]
        yield from ([name, *(phrases.get(word, "") for word in words)] for name, phrases in rows)


def _held_out(accounts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Rows of the table of held-out rows: all languages, then each that is measured."""
    for node, account in accounts.items():
        measures = {name: value for name, value in account["measures"].items() if name.startswith(VALIDATION)}
        whole = _from_to(account["first"], measures, VALIDATION)
        if not whole:
            continue
        yield (node if len(accounts) > 1 else "all"), whole
        suffixes = {
            name.removeprefix(f"{VALIDATION}loss/") for name in measures if name.startswith(f"{VALIDATION}loss/")
        }
        for language in sorted(suffixes):
            ends = f"/{language}"
            of_one = [
                {name.removesuffix(ends): value for name, value in some.items() if name.endswith(ends)}
                for some in (account["first"], measures)
            ]
            yield (f"{node} {language}" if len(accounts) > 1 else language), _from_to(of_one[0], of_one[1], VALIDATION)


def _from_to(first: Mapping[str, float], last: Mapping[str, float], prefix: str = "") -> dict[str, str]:
    """Say how each measure changed, by word."""
    then = learned(first, prefix)
    return {word: f"{then[word]} → {value}" if word in then else value for word, value in learned(last, prefix).items()}


READ = ("columns", "without_pair", "left_out")
"""Measures of the step that read the rows, which one that chooses among them passes on."""


def _read(stage: StageRecord, id: str) -> dict[str, Any]:
    """The measures of the step that read or chose the rows, where it is one of this stage."""
    rows = stage.standing.get(id)
    if rows is None:
        return {}
    source = stage.standing.get(stage.steps[id].inputs.get("rows", ""))
    before = {} if source is None else {name: source.measures[name] for name in READ if name in source.measures}
    return {**before, **rows.measures}


TOKENS_ADDED = "chat_template_tokens_added"
"""The measure of trainers that were given a chat template."""


def row_phrases(account: Mapping[str, Any]) -> list[str]:
    """Count the rows, and those that were left out, cut or dropped, by reason."""
    read, measures = account["read"], account["measures"]
    phrases = []
    if "rows" in measures:
        phrases.append(f"{measures['rows']:,.0f} rows")
    if "of" in read:
        phrases.append(f"made with a limit: {read['rows']:,} of {read['of']:,} rows, drawn by hash")
    phrases += [
        way if len(read["columns"]) == 1 else f"{way} ({count:,})" for way, count in read.get("columns", {}).items()
    ]
    phrases += [f"{count:,} left out: {reason}" for reason, count in read.get("without_pair", {}).items()]
    if left_out := read.get("left_out"):
        languages = ", ".join(f"{language} {count:,}" for language, count in left_out.items())
        phrases.append(f"{sum(left_out.values()):,} left out in other languages ({languages})")
    if counted_as := read.get("counted_as"):
        phrases.append(", ".join(f"{count:,} {editions}" for editions, count in counted_as.items()))
    for name, value in measures.items():
        if name.endswith("_rows"):  # truncated_rows, dropped_rows
            phrases.append(f"{value:,.0f} {name.removesuffix('_rows').replace('_', ' ')}")
        elif name.startswith(DROPPED):
            phrases.append(f"{value:,.0f} dropped as {name.removeprefix(DROPPED)}")
        elif name == TOKENS_ADDED:
            phrases.append(f"given a chat template, for which {value:,.0f} tokens were added to the vocabulary")
    return phrases
