"""A generation benchmark of one's own, in a few lines of YAML."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from pydantic import field_validator

from aya_core.api import (
    FAULTS,
    SHARE,
    AskingEvaluator,
    CorpusScore,
    DataError,
    EvaluatedModel,
    EvaluatorStrategy,
    Field,
    GenerationRequest,
    Message,
    Metric,
    Prompt,
    Request,
    RowScore,
    Sampling,
)
from aya_plugins.benchmarks.own import OwnData, Shown
from aya_plugins.benchmarks.tables import Row
from aya_plugins.benchmarks.templates import Template, template
from aya_plugins.evaluators.signatures import versions

CHRF = "chrf++"
RESAMPLES = 1000
"""Corpora drawn for the standard error of chrF++."""


class Generate(OwnData, EvaluatorStrategy):
    """Let a model answer the questions of a benchmark of your own, and compare its answers with the right ones.

    `exact_match`: the answer is the right one, spaces around it apart. `contains`: the right one is somewhere in it. `chrf++`: corpus
    chrF++ in [0, 100], with a standard error by bootstrap. A `filter` takes the answer out of what was said; `unread` is the share in
    which it finds nothing, `cut_short` that of answers that reached `max_tokens`. A prompt that the model left out is wrong, and in
    `unanswered`.
    """

    imports = ("jinja2",)
    extra = "eval"
    asks = True

    answer: Template = Field("{{ answer }}", description="Template of the right answer.")
    accepted: str | None = Field(None, description="Column with a list of other answers that are right, too.")
    metric: Literal["exact_match", "contains", "chrf++"] = Field("exact_match", description="How answers are compared.")
    filter: str | None = Field(
        None,
        description="Regular expression that finds the answer in what was said: its first group, or else all of the match.",
    )
    filter_takes: Literal["first", "last"] = Field("first", description="Which match of the filter counts.")
    ignore_case: bool = Field(False, description="Compare without regard to case.")
    ignore_punctuation: bool = Field(False, description="Compare without punctuation.")
    prompting: Literal["chat", "text"] = Field(
        "chat", description="`chat` gives examples as earlier turns; `text` gives all as one text to be continued."
    )
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")
    stop: tuple[str, ...] = Field((), description="Texts that end an answer; they are cut off.")

    @field_validator("filter")
    @classmethod
    def _is_expression(cls, filter: str | None) -> str | None:
        try:
            re.compile(filter or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return filter

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """The one asked for, and what went wrong."""
        main = Metric(low=0.0, high=100.0, better="max") if self.metric == CHRF else SHARE
        return {self.metric: main, "unanswered": FAULTS, "unread": FAULTS, "cut_short": FAULTS}

    @property
    def needs_of_settings(self) -> tuple[str, ...]:
        """What reads the hub and what compares, where these are asked for."""
        return (*super().needs_of_settings, *(("sacrebleu", "numpy") if self.metric == CHRF else ()))

    def build(self) -> AskingEvaluator:
        """Make the evaluator; rows are read when it asks."""
        return _Generate(self)


class _Asked(NamedTuple):
    id: str
    item: str | None
    language: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...]


class _Generate:
    def __init__(self, settings: Generate) -> None:
        self._settings = settings
        self._answer = template(settings.answer, "answer")
        self._filter = None if settings.filter is None else re.compile(settings.filter)

    def requests(self) -> Iterator[Request]:
        settings = self._settings
        sampling = Sampling(
            temperature=0, max_tokens=settings.max_tokens, stop=settings.stop, prompting=settings.prompting
        )
        for one in self._questions():
            yield GenerationRequest(Prompt(one.id, one.language, one.messages, one.answers[0], item=one.item), sampling)

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore | CorpusScore]:
        metric = self._settings.metric
        for language, questions in groupby(self._questions(), lambda one: one.language):
            said: list[tuple[_Asked, str]] = []
            for one in questions:
                answers = evaluated.replies.completions.get(one.id)
                found = self._found(answers[0].text) if answers else None
                yield RowScore(one.id, language, "unanswered", float(not answers), item=one.item)
                if answers:
                    yield RowScore(one.id, language, "unread", float(found is None), item=one.item)
                    yield RowScore(
                        one.id, language, "cut_short", float(answers[0].finish_reason == "length"), item=one.item
                    )
                if metric == CHRF:
                    said.append((one, found or ""))
                else:
                    is_right = found is not None and self._is_right(found, one.answers)
                    yield RowScore(one.id, language, metric, float(is_right), item=one.item)
            if metric == CHRF:
                yield _corpus(language, said)

    def signature(self) -> Mapping[str, str]:
        settings = self._settings
        ignored = [name for name in ("case", "punctuation") if getattr(settings, f"ignore_{name}")]
        taken = "none" if settings.filter is None else f"{settings.filter_takes} of {settings.filter}"
        chrf = {}
        if settings.metric == CHRF:
            from aya_plugins.corpus_chrf import CorpusChrf

            chrf = {CHRF: f"corpus|{CorpusChrf().signature()}", "standard_error": f"bootstrap of {RESAMPLES}, seed 0"}
        return {
            **settings.own_signature(prompting=settings.prompting), "decoding": f"greedy, {settings.max_tokens} tokens",
            "metric": settings.metric, "stop": " ".join(map(repr, settings.stop)) or "none", "filter": taken,
            "ignored": " ".join(ignored) or "nothing",
            **chrf, **versions(*(("sacrebleu",) if chrf else ())),
        }  # fmt: skip

    def _questions(self) -> Iterator[_Asked]:
        """All questions of a language one after the other."""
        settings = self._settings
        shown = Shown(settings, self._answer)
        by_language: dict[str, list[_Asked]] = {}
        for row, question, examples in shown.questions():
            asked = by_language.setdefault(row.language, [])
            id = f"{row.language}/{len(asked) + 1}"
            asked.append(
                _Asked(
                    id,
                    settings.item_of(row),
                    row.language,
                    _messages(shown, question, examples, settings.prompting),
                    self._answers(row),
                )
            )
        for questions in by_language.values():
            yield from questions

    def _answers(self, row: Row) -> tuple[str, ...]:
        """The right answers, the one to be shown first."""
        name = self._settings.accepted
        others = [] if name is None else row.values.get(name)
        if not isinstance(others, (list, tuple)) or not all(isinstance(one, (str, int, float)) for one in others):
            raise DataError(f"{row.place}: accepted: column '{name}' is {others!r:.60}; expected a list of texts")
        answers = tuple(dict.fromkeys((self._answer(row), *map(str, others))))
        if not all(answer.strip() for answer in answers):
            raise DataError(f"{row.place}: answer: it is empty; expected some text to compare with")
        return answers

    def _found(self, text: str) -> str | None:
        if self._filter is None:
            return text.strip()
        found = list(self._filter.finditer(text))
        if not found:
            return None
        match = found[0 if self._settings.filter_takes == "first" else -1]
        return (
            (match[1] if match.re.groups else match[0] or "").strip()
            if (match.lastindex or not match.re.groups)
            else None
        )

    def _is_right(self, found: str, answers: Sequence[str]) -> bool:
        said, right = self._compared(found), [self._compared(answer) for answer in answers]
        return said in right if self._settings.metric == "exact_match" else any(answer in said for answer in right)

    def _compared(self, text: str) -> str:
        """An answer as it is compared. Punctuation is that of any script."""
        if self._settings.ignore_case:
            text = text.casefold()
        if self._settings.ignore_punctuation:
            text = "".join(
                one for one in text if one not in string.punctuation and not unicodedata.category(one).startswith("P")
            )
        return " ".join(text.split())


def _messages(shown: Shown, question: str, examples: Sequence[tuple[str, str]], prompting: str) -> tuple[Message, ...]:
    if prompting == "text":
        return ({"role": "user", "content": shown.as_text(question, examples)},)
    turns: list[Message] = []
    for asked, answer in examples:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return *turns, {"role": "user", "content": question}


def _corpus(language: str, said: Sequence[tuple[_Asked, str]]) -> CorpusScore:
    from aya_plugins.corpus_chrf import CorpusChrf

    chrf = CorpusChrf()
    statistics = chrf.statistics([found for _, found in said], [one.answers[0] for one, _ in said])
    error = float(chrf.resampled(statistics, RESAMPLES).std(ddof=1))
    moved = zip((one.item for one, _ in said), chrf.influences(statistics).tolist(), strict=True)
    influences = {item: influence for item, influence in moved if item is not None}
    return CorpusScore(language, CHRF, chrf.score(statistics), error, len(said), influences)
