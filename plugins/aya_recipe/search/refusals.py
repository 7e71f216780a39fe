"""What a search must not see: the data that the recipe reports on, and the test sets that papers report.

Weights that were chosen on a test set flatter every number measured on it afterwards. Three checks: by where rows come from,
when the recipe is planned; by the names of published test sets, then too; and by the text of prompts, once rows are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import (
    ROWS_KINDS,
    Builder,
    DataError,
    EvaluatorStrategy,
    Prompt,
    RecipeError,
    RowsRef,
    Work,
    find,
    read_rows,
    stable_hash,
)
from aya_recipe.evaluate.stage import EvaluateStage

REPORTED: Mapping[str, str] = {
    "m-ArenaHard": r"arena-?hard",
    "the Aya evaluation suite": r"aya-evaluation-suite|dolly-(human-edited|machine-translated)",
    "XCOPA": r"xcopa",
    "XStoryCloze": r"x-?story-?cloze",
    "XWinograd": r"x-?wino(grad|grande)?",
    "Global-MMLU": r"global-?mmlu",
    "MGSM": r"mgsm",
    "FLORES-200": r"flores(-?(200|101|plus))?",
    "INCLUDE": r"include-(base|lite)",
}
"""Test sets on which Aya models are reported (arXiv 2412.04261, section 3; 2402.07827), and what their names look like."""

VALIDATION_SPLITS = frozenset({"validation", "valid", "val", "dev"})
"""Splits by these names are no test set, whatever the data set is. `train` is none of them: test sets are often kept under it."""

REMEDY = (
    "Make a validation split: rows of your own, or other folds (`folds:`) or another split of the data set, which nothing is "
    "reported on"
)


class ScoredOn(NamedTuple):
    """What a stage scores models on: its name, its prompts, and its evaluators by their place in it."""

    stage: str
    prompts: Any
    evaluators: Mapping[str, EvaluatorStrategy]

    @classmethod
    def of(cls, stage: EvaluateStage) -> ScoredOn:
        """What an evaluate stage scores models on."""
        return cls(stage.name, stage.prompts, {f"evaluators.{label}": one for label, one in stage.evaluators.items()})


def add(build: Builder, search: ScoredOn) -> str | None:
    """Add the node that compares validation data with what evaluate stages read, and return its id.

    None where nothing can be compared: rows that only a later stage makes are not.
    """
    reported = [row for other in _reporting(build) for row in _rows(build, other)]
    inputs: dict[str, str] = {}
    for role, rows in (("validation", _rows(build, search)), ("reported", reported)):
        known = dict.fromkeys(id for _, id in rows if id in build.nodes and build.nodes[id].kind in ROWS_KINDS)
        inputs |= {f"{role}.{index}": id for index, id in enumerate(known)}
    if len({role.partition(".")[0] for role in inputs}) < 2:
        return None
    return build.add(f"{search.stage}.apart", "hold-apart", "check", {}, inputs)


def hold_apart(work: Work) -> Mapping[str, Any]:
    """Refuse a search whose validation prompts occur, letter by letter, among those that are reported on.

    What it leaves is the same whatever the rows are, so that the search is not done again when only reported rows change.
    """
    ours, theirs = ({text: id for id, text in _prompts(work, role)} for role in ("validation", "reported"))
    common = sorted(ours[text] for text in ours.keys() & theirs.keys())
    if common:
        raise DataError(
            f"{len(common)} of {len(ours)} validation prompts of the search are among the prompts that an evaluate stage reads, such "
            f"as '{common[0]}'; weights chosen on them would flatter what is reported. {REMEDY}"
        )
    (work.out / "apart.json").write_text(json.dumps({"common": 0}) + "\n", encoding="utf-8")
    return {"validation": len(ours), "reported": len(theirs)}


def check(build: Builder, search: ScoredOn) -> None:
    """Refuse a search on the data of evaluate stages, or on published test sets. Raises RecipeError."""
    reported = {
        source.key: other.stage
        for other in _reporting(build)
        for _, id in _rows(build, other)
        for source in _sources(build, id)
    }
    for where, id in _rows(build, search):
        for source in _sources(build, id):
            _refuse(build, where, source, reported)


def _reporting(build: Builder) -> list[ScoredOn]:
    return [ScoredOn.of(stage) for stage in build.recipe.stages if isinstance(stage, EvaluateStage)]


class _Source(NamedTuple):
    """Where rows come from in the end. shown: how to call it. names: of its files, or on the hub."""

    key: str
    shown: str
    names: Sequence[str]


def _refuse(build: Builder, where: str, source: _Source, reported: Mapping[str, str]) -> None:
    if source.key in reported:
        raise build.error(
            where,
            f"{source.shown} is what '{reported[source.key]}' reports on; weights chosen on it would flatter every number there. "
            f"{REMEDY}",
        )
    for test_set, pattern in REPORTED.items():
        if any(_is_named(pattern, name) for name in source.names):
            raise build.error(where, f"{source.shown} is {test_set}, a test set on which models are reported. {REMEDY}")


def _rows(build: Builder, scored: ScoredOn) -> list[tuple[str, str]]:
    """The rows that a stage scores models on: the setting that names them, and a node or a folder.

    What only a later stage makes is left out.
    """
    found = []
    if scored.prompts is not None and any(one.needs_answers for one in scored.evaluators.values()):
        with suppress(RecipeError):  # what is wrong there is told when the stage itself is planned
            found.append(("prompts", build.rows(scored.prompts, "prompts", "prompts", f"{scored.stage}.prompts")))
    for label, evaluator in scored.evaluators.items():
        for path, reference in find(evaluator, RowsRef):
            where = ".".join((label, *map(str, path)))
            with suppress(RecipeError):
                found.append((where, build.resolve(reference, where)))
    return found


def _sources(build: Builder, id: str) -> Iterator[_Source]:
    """What rows were read or made from: data sets, and folders outside the run. Models are no source."""
    if id not in build.nodes:
        yield _Source(id, f"the data in {id}", _names(id))
        return
    node = build.nodes[id]
    if node.action == "read":
        dataset = node.identity["dataset"]
        names = [name for path in node.external.values() for name in _names(path)]
        if dataset.get("split") not in VALIDATION_SPLITS:
            names += _texts(dataset)
        shown = f"'{id}'" if id == node.stage else "this data set"
        yield _Source(stable_hash([dataset, dict(node.external)]), shown, names)
        return
    for role, source in (*node.inputs.items(), *node.external.items()):
        is_made_here = source in build.nodes and build.nodes[source].kind != "checkpoint"
        if is_made_here or role in ("rows", "prompts"):
            yield from _sources(build, source)


def _prompts(work: Work, role: str) -> Iterator[tuple[str, str]]:
    """The id and a hash of the whole text of each prompt."""
    for name, folder in work.inputs.items():
        if name.startswith(f"{role}."):
            for prompt in read_rows(folder, Prompt):  # whose columns every kind of rows has
                yield prompt.id, stable_hash([turn["content"] for turn in prompt.messages])


def _names(path: str) -> Sequence[str]:
    """The names of a file and of the folder that it lies in."""
    return Path(path).name, Path(path).parent.name


def _texts(settings: Any) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from _texts(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            yield from _texts(value)


def _is_named(pattern: str, text: str) -> bool:
    return re.search(rf"(?<![a-z0-9])({pattern})(?![a-z])", re.sub(r"[_\s]+", "-", text.lower())) is not None
