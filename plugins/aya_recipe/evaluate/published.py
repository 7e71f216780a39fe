"""Numbers that others published, beside one's own: in tables of their own, so that no mean and no test takes them in.

A file of `published_numbers/` has them with their source and set-up. Of its columns and win rates those are shown that a stage has, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aya_core.api import StageRecord, Table, did_you_mean, yaml12
from aya_recipe.evaluate import tables

FOLDER = Path(__file__).parent / "published_numbers"

MARK = "(published)"
"""Behind the name of every model whose numbers are not ours."""

RESULTS = ("win", "loss", "tie")

Published = Mapping[str, Any]
Account = Mapping[str, Any]


def published_name(name: str) -> str:
    """Return the name of a file of published numbers. Raises ValueError where there is none."""
    known = [file.stem for file in FOLDER.glob("*.yaml")]
    if name not in known:
        raise ValueError(f"no published numbers '{name}'; {did_you_mean(name, known)}")
    return name


@cache
def read(name: str) -> Published:
    """Read published numbers."""
    found: Published = yaml12.read(FOLDER / f"{name}.yaml")
    return found


def tables_of(stage: StageRecord, accounts: Mapping[str, Account]) -> Iterator[Table]:
    """The tables of the stages that are shown together with one: their numbers, and below them the published ones."""
    for name, account in accounts.items():
        settings = stage.run.stage(name).settings
        if settings.get("published") is None:
            continue
        published = read(settings["published"])
        yield from _by_tasks(account, published, tables.models_by_tasks(accounts))
        yield from _win_rates(name, account, published)


def _by_tasks(account: Account, published: Published, ours: Table) -> Iterator[Table]:
    """Our rows of models by tasks, in the columns that are published."""
    labels = [title.removesuffix(", %") for title in ours.header]
    own = {*account["evaluators"], *account["groups"]}
    places = [place for place, label in enumerate(labels) if label in published["columns"] and label in own]
    if not places:
        return
    names = [labels[place] for place in places]
    rows = [[row[0], *(row[place] for place in places)] for row in ours.rows if row[0] != "n"]
    others = [
        [f"{model} {MARK}", *(_number(numbers.get(name)) for name in names)]
        for model, numbers in published["models"].items()
    ]
    tasks = "; ".join(f"{name}: {published['columns'][name]['task']}" for name in names)
    notes = [
        f"Published: {published['source']}, {published['tables']}. {tasks}.",
        *published["notes"],
        *_lacking(account, published, names),
        "Template, prompting and decoding of ours are in the signatures; what the authors did not publish may differ.",
    ]
    yield Table(["model", *names], [*rows, *others], "Beside published numbers", notes)


def _lacking(account: Account, published: Published, names: Sequence[str]) -> Iterator[str]:
    """Say where our means are over other languages than the published ones."""
    said = set()
    for name in names:
        for label, wanted in published["columns"][name]["languages"].items():
            found = _languages(account, label)
            if label in said or not found:
                continue
            said.add(label)
            if text := _difference(found, wanted):
                yield f"Differs from the published set-up: {label} {text}."


def _difference(found: Sequence[str], wanted: Sequence[str] | int) -> str | None:
    if isinstance(wanted, int):
        return None if len(found) == wanted else f"is over {len(found)} languages here, {wanted} there"
    missing, more = [code for code in wanted if code not in found], [code for code in found if code not in wanted]
    parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(more)} more"] * bool(more)
    return f"is over {len(found)} languages here, {len(wanted)} there: it {' and '.join(parts)}" if parts else None


def _languages(account: Account, label: str) -> list[str]:
    """The languages in which an evaluator measured its main metric."""
    evaluator = account["evaluators"].get(label)
    scored = account["scores"].get(label, {}).get(evaluator["headline"], {}) if evaluator else {}
    return sorted({code for one in scored.values() for code in one["languages"]})


def _win_rates(name: str, account: Account, published: Published) -> Iterator[Table]:
    """Our wins, losses and ties beside the published ones, overall and by language."""
    theirs = published["win_rates"].get(name)
    for label, metrics in account["scores"].items() if theirs else ():
        if not all(result in metrics for result in RESULTS):
            continue
        evaluator = account["evaluators"][label]
        rival = evaluator["against"]
        shown = tables.names(tables.models_of(account))
        models = [model for model in metrics["win"] if model != rival]
        rows = [
            [shown[model], shown.get(rival, str(rival)), *(_share(metrics[result].get(model)) for result in RESULTS)]
            for model in models
        ]
        others = [[f"{model} {MARK}", other, *map(_number, numbers)] for model, other, *numbers in theirs["battles"]]
        found = sorted({code for model in models for code in metrics["win"][model]["languages"]})
        notes = [
            f"Published: {published['source']}, {theirs['figure']}; {theirs['task']}; judge {theirs['judge']}.",
            *theirs["notes"],
            f"Ours: judge {evaluator['signature'].get('judge', 'unknown')}, orders {evaluator['signature'].get('orders', 'unknown')}; "
            f"shares of judged battles, {len(found)} languages ({', '.join(found)}). Win rates against other rivals, or by another judge, "
            "cannot be compared.",
        ]
        if text := _difference(found, theirs["languages"]):
            notes.append(f"Differs from the published set-up: the mean {text}.")
        title = f"{name}: {label} beside published win rates, %"
        yield Table(["model", "rival", *RESULTS], [*rows, *others], title, notes)
        if "by_language" in theirs:
            yield _by_language(
                title, theirs["by_language"], metrics, {model: shown[model] for model in models}, published
            )


def _by_language(
    title: str, theirs: Published, metrics: Mapping[str, Any], models: Mapping[str, str], published: Published
) -> Table:
    pair = f"{theirs['model']} against {theirs['rival']} {MARK}"
    rows = [
        [
            code,
            *(_share(metrics["win"][model]["languages"].get(code), "value") for model in models),
            *map(_number, numbers),
        ]
        for code, numbers in theirs["battles"].items()
    ]
    header = ["language", *(f"{name}, win" for name in models.values()), *(f"{pair}, {result}" for result in RESULTS)]
    notes = [f"Published: {published['source']}, {theirs['figure']}, in these languages."]
    return Table(header, rows, f"{title}, by language", notes, level="tables")


def _share(estimate: Mapping[str, Any] | None, key: str = "mean") -> str:
    found = estimate if estimate is None or key == "value" else estimate[key]
    return "" if found is None else f"{100 * found['value']:.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
