"""Multiple choice by log-likelihood: the likeliest continuation is a model's answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aya_core.api import (
    COUNTED,
    FAULTS,
    SHARE,
    Context,
    Continuation,
    DataError,
    EvaluatedModel,
    Message,
    Metric,
    RowScore,
    ScoringRequest,
)
from aya_plugins.benchmarks.tables import Row
from aya_plugins.evaluators.signatures import versions

Prompting: TypeAlias = Literal["text", "chat"]
"""How a context is given to a model: as text to be continued, or as one user turn of its chat template."""

METRICS: Mapping[str, Metric] = {
    "accuracy": SHARE, "accuracy/*": SHARE, "unscored": FAULTS, "cut": FAULTS, "ambiguous": COUNTED,
}  # fmt: skip
"""What `MultipleChoice` yields."""

PROMPTING = (
    "`text` gives the model a context to be continued; `chat` makes the context, examples and all, one user turn of the model's "
    "chat template, and each option a beginning of the answer."
)


@dataclass(frozen=True)
class Question:
    """A question to a model.

    options: as the data has them. continuations: what the model scores for each. answer: the place of the right one. groups: names of
    parts of the benchmark that it belongs to. item: by which the set names it in all languages; None where it does not.
    """

    language: str
    options: tuple[str, ...]
    continuations: tuple[Continuation, ...]
    answer: int
    groups: tuple[str, ...] = ()
    item: str | None = None


def choices(context: str, options: Sequence[str], prompting: Prompting) -> tuple[Continuation, ...]:
    """Make continuations of one context: text goes on after a space, an answer in a chat begins at once."""
    return tuple(continuation(context, option, prompting) for option in options)


def continuation(context: str, text: str, prompting: Prompting) -> Continuation:
    """Make one continuation; see `choices`."""
    if prompting == "text":
        return Continuation(context, f" {text}")
    turns: Context = (Message(role="user", content=context),)
    return Continuation(turns, text)


def label_of(row: Row, column: str, labels: Sequence[str]) -> int:
    """Return the place of a row's label among those there are. Raises DataError with file and line."""
    value = row.values.get(column)
    label = "" if value is None or isinstance(value, bool) else str(value).strip()
    if label not in labels:
        what = "no label" if label == "" else f"the label {value!r:.60}"
        raise DataError(f"{row.place}: {column}: {what}; expected one of {', '.join(labels)}")
    return labels.index(label)


class MultipleChoice:
    """Accuracy of the likeliest option, as the language model evaluation harness takes it: summed log-probability, of equals the
    first. Metrics beside it, as shares of all rows:

    unscored: rows with an option to which the model gave no finite log-likelihood; they count as wrong. cut: rows that lost the start
    of their context, for the model reads no more. ambiguous: rows whose right option is there twice.
    """

    def __init__(self, questions: Callable[[], Iterator[Question]], signature: Callable[[], Mapping[str, str]]) -> None:
        self._questions = questions
        self._signature = signature

    def requests(self) -> Iterator[ScoringRequest]:
        """Ask for the continuations of each question."""
        for id, question in self._numbered():
            yield ScoringRequest(id, question.language, question.continuations, question.answer)

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        """Compare the likeliest option with the right one."""
        for id, question in self._numbered():
            scored = evaluated.replies.log_likelihoods[id]
            nats = [one.nats for one in scored]
            is_scored = all(map(math.isfinite, nats))
            right = float(is_scored and nats.index(max(nats)) == question.answer)
            metrics = {
                "accuracy": right,
                **{f"accuracy/{group}": right for group in question.groups},
                "unscored": float(not is_scored),
                "cut": float(any(one.cut for one in scored)),
                "ambiguous": float(question.options.count(question.options[question.answer]) > 1),
            }
            for metric, value in metrics.items():
                yield RowScore(id, question.language, metric, value, item=question.item)

    def signature(self) -> Mapping[str, str]:
        """Name data, template and version."""
        return {**self._signature(), **versions()}

    def _numbered(self) -> Iterator[tuple[str, Question]]:
        """Every question, under a name made of its language and its place there. Raises DataError for an item that is there twice."""
        count: dict[str, int] = {}
        seen: set[int] = set()  # hashes, for Global-MMLU has 600,000 rows
        for question in self._questions():
            if question.item is not None:
                key = hash((question.language, question.item, question.options, question.answer, question.groups))
                if key in seen:
                    raise DataError(
                        f"the item '{question.item}' is in '{question.language}' twice, with the same options and answer, and would "
                        "count twice; take one of its rows out (were two files joined?)"
                    )
                seen.add(key)
            count[question.language] = count.get(question.language, 0) + 1
            yield f"{question.language}/{count[question.language]}", question
