"""Measure how often a model solves school mathematics, thinking in the language of the problem."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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
    LocalFile,
    Message,
    Prompt,
    Request,
    RowScore,
    Sampling,
    content_of,
)
from aya_plugins.benchmarks.mgsm import TEMPLATE, WORDINGS, Exemplar, flexible, is_same, means, written
from aya_plugins.benchmarks.mgsm_exemplars import published_beside, read_exemplars
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import MGSM, Source
from aya_plugins.benchmarks.tables import Row
from aya_plugins.evaluators.signatures import versions

SEED = 1234
"""Of the examples that each problem is shown; the harness's default."""

_GOLD = re.compile(r"-?[0-9][0-9.,]*")


class Mgsm(BenchmarkData, EvaluatorStrategy):
    """Solve MGSM's problems after examples with chains of thought in the same language; `exact_match` is the share of right results.

    `exact_match` reads the number of the sentence that gives the result (strict), `exact_match/flexible` the last number of the
    answer, both as the harness does; `exact_match/number` the last number by value, in any digits. `unread` is the share of answers
    without a strict result, `cut_short` that of answers that reached `max_tokens`; a prompt that the model left out is wrong.

    Source: Shi et al. 2022, arXiv 2210.03057; lm-evaluation-harness 0.4.13, tasks mgsm_native_cot_*; 5 examples in arXiv 2412.04261.
    """

    version = 2
    asks = True
    metrics = {
        "exact_match": SHARE, "exact_match/*": SHARE, "unanswered": FAULTS, "unread": FAULTS, "cut_short": FAULTS,
    }  # fmt: skip
    source: ClassVar[Source] = MGSM

    shots: int = Field(
        5,
        ge=0,
        le=8,
        description="Examples before each problem, drawn from the eight of its language as the harness draws.",
    )
    exemplars: LocalFile | None = Field(
        None,
        description="MGSM's exemplars.py, or JSON like it. None takes that in the folder `data`, else the rows of the split train.",
    )
    prompting: Literal["chat", "text"] = Field(
        "chat", description="`chat` gives examples as earlier turns; `text` gives all as one text to be continued."
    )
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens; 256 is the harness's.")

    def build(self) -> AskingEvaluator:
        """Make the evaluator; files are read when it asks."""
        return _Mgsm(self)


class _Problem(NamedTuple):
    """A problem. item: its line, which is the same problem in every language."""

    id: str
    item: str
    language: str
    question: str
    gold: str


class _Mgsm:
    def __init__(self, settings: Mgsm) -> None:
        self._settings = settings

    def requests(self) -> Iterator[Request]:
        settings = self._settings
        exemplars = self._exemplars() if settings.shots else {}
        draws: dict[str, random.Random] = {}
        for problem in self._problems():
            wording = WORDINGS[problem.language]
            draw = draws.setdefault(problem.language, random.Random(SEED))
            shown = draw.sample(exemplars[problem.language], settings.shots) if settings.shots else []
            examples = [wording.example(one) for one in shown]
            messages = _messages(examples, wording.ask(problem.question), settings.prompting)
            prompt = Prompt(problem.id, problem.language, messages, problem.gold)
            sampling = Sampling(
                temperature=0, max_tokens=settings.max_tokens, stop=wording.stop, prompting=settings.prompting
            )
            yield GenerationRequest(prompt, sampling)

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        for problem in self._problems():
            answers = evaluated.replies.completions.get(problem.id)
            text = answers[0].text if answers else ""
            strict = WORDINGS[problem.language].strict(text)
            values = {
                "exact_match": is_same(strict, problem.gold),
                "exact_match/flexible": is_same(flexible(text), problem.gold),
                "exact_match/number": means(text, problem.gold, problem.language),
                "unanswered": not answers,
            }
            if answers:
                values["unread"] = not any(map(str.isdigit, strict))
                values["cut_short"] = answers[0].finish_reason == "length"
            for metric, value in values.items():
                yield RowScore(problem.id, problem.language, metric, float(value), item=problem.item)

    def signature(self) -> Mapping[str, str]:
        settings = self._settings
        shown = "none" if not settings.shots else f"{settings.shots} of 8, drawn by seed {SEED}"
        file = self._exemplars_file() if settings.shots else None
        return {
            **settings.data_signature(), "template": TEMPLATE, "shots": shown, "exemplars": content_of(file) if file else "split train",
            "prompting": settings.prompting, "decoding": f"greedy, {settings.max_tokens} tokens",
            "extraction": "strict-match, flexible-extract, last number by value in the language's manner", **versions(),
        }  # fmt: skip

    def _problems(self) -> Iterator[_Problem]:
        for row in self._settings.asked("test"):
            if row.language not in WORDINGS:
                raise DataError(
                    f"{row.place}: no words for steps in the language '{row.language}'; MGSM has {', '.join(WORDINGS)}"
                )
            yield _Problem(
                f"{row.language}:{row.number}", str(row.number), row.language, row.text("question"), _gold(row)
            )

    def _exemplars_file(self) -> Path | None:
        if self._settings.exemplars is not None:
            return Path(self._settings.exemplars)
        return published_beside(self._settings.data) if self._settings.data is not None else None

    def _exemplars(self) -> Mapping[str, Sequence[Exemplar]]:
        """The examples of each language that is asked; enough of them."""
        file = self._exemplars_file()
        found: dict[str, Sequence[Exemplar]]
        if file is not None:
            found = dict(read_exemplars(file))
        else:
            found = {}
            # the test's rows, too, or a file whose name says no split would be taken for the examples
            for row in self._settings.rows("test", "train"):
                if row.split == "test":
                    continue
                found[row.language] = [*found.get(row.language, ()), Exemplar(row.text("question"), row.text("answer"))]
        for language in dict.fromkeys(problem.language for problem in self._problems()):
            if len(found.get(language, ())) < self._settings.shots:
                raise DataError(
                    f"{file or self._settings.data or self._settings.source.hub}: {len(found.get(language, ()))} examples in "
                    f"'{language}', but shots is {self._settings.shots}; set `exemplars` to MGSM's exemplars.py, or fewer shots; "
                    f"{MGSM.where}"
                )
        return found


def _messages(examples: Sequence[tuple[str, str]], asked: str, prompting: str) -> tuple[Message, ...]:
    if prompting == "text":
        return ({"role": "user", "content": written(examples, asked)},)
    turns: list[Message] = []
    for question, answer in examples:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return *turns, {"role": "user", "content": asked}


def _gold(row: Row) -> str:
    """The right number: a column of its own on the hub, where `answer` is empty; else what the file has."""
    number = row.values.get("answer_number")
    gold = str(row.values.get("answer") if number is None else number).strip()
    if not _GOLD.fullmatch(gold):
        raise DataError(f"{row.place}: answer: {gold!r:.60}; expected a number")
    return gold
