"""Measure how well a model knows regions of the world, by exams in their languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple

from aya_core.api import (
    FAULTS,
    SHARE,
    AskingEvaluator,
    DataError,
    EvaluatedModel,
    EvaluatorStrategy,
    Field,
    GenerationRequest,
    Request,
    RowScore,
    Sampling,
    stable_hash,
    user_prompt,
)
from aya_plugins.benchmarks.include_wordings import ENGLISH, WORDINGS, instruction
from aya_plugins.benchmarks.letters import LETTERS, option_named
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import INCLUDE, Source
from aya_plugins.benchmarks.tables import Row
from aya_plugins.evaluators.signatures import versions

COLUMNS = tuple(f"option_{letter.lower()}" for letter in LETTERS)


class Include(BenchmarkData, EvaluatorStrategy):
    """Answer INCLUDE's exams without examples, thinking in the language of the question; `accuracy` is the share of right letters.

    The instruction is in the question's language, in our own words, for INCLUDE's 44; for others it is in English and names the
    language. `accuracy/<domain>` are the exams' domains. An answer that names no option, or several, is wrong and in `unread`; a
    prompt that the model left out is wrong and in `unanswered`; `cut_short` is the share of answers that reached `max_tokens`.

    Source: Romanou et al. 2024, arXiv 2411.19799; zero-shot chain of thought as in arXiv 2412.04261, section 5.2.
    """

    asks = True
    metrics = {
        "accuracy": SHARE, "accuracy/*": SHARE, "unanswered": FAULTS, "unread": FAULTS, "cut_short": FAULTS,
    }  # fmt: skip
    source: ClassVar[Source] = INCLUDE

    prompting: Literal["chat", "text"] = Field(
        "chat",
        description="`chat` asks; `text` gives the same prompt to a base model, with a line for its answer to begin in.",
    )
    max_tokens: int = Field(1024, ge=1, description="Longest answer, in tokens, the chain of thought included.")

    def build(self) -> AskingEvaluator:
        """Make the evaluator; files are read when it asks."""
        return _Include(self)


class _Question(NamedTuple):
    id: str
    language: str
    domain: str
    text: str
    options: tuple[str, ...]
    answer: str


class _Include:
    def __init__(self, settings: Include) -> None:
        self._settings = settings

    def requests(self) -> Iterator[Request]:
        settings = self._settings
        sampling = Sampling(temperature=0, max_tokens=settings.max_tokens, prompting=settings.prompting)
        for one in self._questions():
            options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, one.options, strict=True))
            text = f"{instruction(one.language)}\n\n{one.text}\n{options}" + "\n\n" * (settings.prompting == "text")
            prompt = user_prompt(one.id, one.language, text, one.answer, {"domain": one.domain})
            yield GenerationRequest(prompt, sampling)

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        for one in self._questions():
            answers = evaluated.replies.completions.get(one.id)
            named = option_named(answers[0].text, one.options) if answers else None
            values = {"accuracy": named == one.answer, "unanswered": not answers}
            if one.domain:
                values[f"accuracy/{one.domain}"] = named == one.answer
            if answers:
                values["unread"] = named is None
                values["cut_short"] = answers[0].finish_reason == "length"
            for metric, value in values.items():
                yield RowScore(one.id, one.language, metric, float(value))

    def signature(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            **settings.data_signature(), "template": f"aya-core include {stable_hash([WORDINGS, ENGLISH])[:12]}", "shots": "0",
            "instructions": f"{len(WORDINGS)} languages, else English", "prompting": settings.prompting,
            "decoding": f"greedy, {settings.max_tokens} tokens", "extraction": "last option stated, else unread", **versions(),
        }  # fmt: skip

    def _questions(self) -> Iterator[_Question]:
        for row in self._settings.asked("test"):
            options = tuple(_option(row, column) for column in COLUMNS)
            id = f"{row.language}:{row.subject}:{row.number}"
            domain = str(row.values.get("domain") or "")
            yield _Question(id, row.language, domain, row.text("question").strip(), options, _answer(row))


def _option(row: Row, column: str) -> str:
    """An option's text; exams have numbers among them."""
    value = row.values.get(column)
    if isinstance(value, (int, float)):
        return str(value)
    return row.text(column).strip()


def _answer(row: Row) -> str:
    """The right letter: published as the option's place, from 0."""
    value = str(row.values.get("answer")).strip()
    places = {**dict(zip("0123", LETTERS, strict=True)), **dict(zip(LETTERS, LETTERS, strict=True))}
    if value not in places:
        raise DataError(f"{row.place}: answer: {value!r:.60}; expected 0, 1, 2 or 3, or a letter A to D")
    return places[value]
