"""A multiple-choice benchmark of one's own, in a few lines of YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pydantic import field_validator

from aya_core.api import (
    SHARE,
    Continuation,
    DataError,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    Metric,
    RowScore,
)
from aya_plugins.benchmarks.own import OwnData, Shown
from aya_plugins.benchmarks.tables import Row
from aya_plugins.benchmarks.templates import Template, template
from aya_plugins.evaluators.multiple_choice import METRICS, PROMPTING, MultipleChoice, Prompting, Question, continuation

ACCURACY, NORMALIZED = "accuracy", "acc_norm"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Choice(OwnData, EvaluatorStrategy):
    """Measure accuracy on a multiple-choice benchmark of your own: which option is likelier after the question.

    Texts are Jinja templates of the row's columns. Contexts, examples and options are put together as lm-evaluation-harness does with
    doc_to_text and doc_to_choice. `accuracy` takes the likeliest option by summed log-probability, `acc_norm` by log-probability for
    each character; of equals the first. `unscored`, `cut` and `ambiguous` are shares of rows, as of the bundled benchmarks.

    Source: lm-evaluation-harness 0.4.13, output type multiple_choice.
    """

    imports = ("jinja2",)
    extra = "eval"
    asks = True

    options: tuple[Template, ...] | str = Field(
        description="A template for each option, or the name of a column that holds a list of them."
    )
    answer: Template = Field(
        "{{ answer }}", description="Template of the right answer; `answer_as` says what it gives."
    )
    answer_as: Literal["index", "letter", "text"] = Field(
        "index", description="What `answer` gives: the option's place from 0, its letter, or its text."
    )
    metric: Literal["acc", "acc_norm"] = Field("acc", description="The main metric; both are given.")
    prompting: Prompting = Field("text", description=PROMPTING)

    @field_validator("options")
    @classmethod
    def _several(cls, options: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if not isinstance(options, str) and len(options) < 2:
            raise ValueError("expected two options or more, or the name of a column that holds them")
        return options

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """The one asked for first."""
        both = {ACCURACY: SHARE, NORMALIZED: SHARE}
        main = ACCURACY if self.metric == "acc" else NORMALIZED
        return {main: SHARE, **both, **METRICS}

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when requests are asked for."""
        return _Choice(_Reader(self).questions, self._signature)

    def _signature(self) -> dict[str, str]:
        return self.own_signature(prompting=self.prompting, answer=f"{self.answer} as {self.answer_as}")


class _Choice(MultipleChoice):
    """As the bundled benchmarks, with accuracy by length beside."""

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        counted: dict[str, bool] = {}
        for row in super().evaluate(evaluated):
            if row.metric in (ACCURACY, "unscored"):
                counted[row.prompt_id] = counted.get(row.prompt_id, True) and not (
                    row.metric == "unscored" and row.value
                )
            yield row
        for id, question in self._numbered():
            means = [
                one.nats / len(option)
                for one, option in zip(evaluated.replies.log_likelihoods[id], question.options, strict=True)
            ]
            right = counted[id] and means.index(max(means)) == question.answer
            yield RowScore(id, question.language, NORMALIZED, float(right), item=question.item)


class _Reader:
    """Makes questions of rows."""

    def __init__(self, settings: Choice) -> None:
        self._settings = settings
        self._answer = template(settings.answer, "answer")
        options = settings.options
        self._options = [] if isinstance(options, str) else [template(text, "options") for text in options]

    def questions(self) -> Iterator[Question]:
        settings = self._settings
        shown = Shown(settings, lambda row: self._read(row)[0][self._read(row)[1]])
        for row, question, examples in shown.questions():
            options, answer = self._read(row)
            context = shown.as_text(question, examples)
            continuations = tuple(self._continuation(context, one) for one in options)
            yield Question(row.language, options, continuations, answer, item=settings.item_of(row))

    def _continuation(self, context: str, option: str) -> Continuation:
        if self._settings.prompting == "text":
            return Continuation(context, f"{self._settings.target_delimiter}{option}")
        return continuation(context, option, "chat")

    def _read(self, row: Row) -> tuple[tuple[str, ...], int]:
        """The options of a row, and the place of the right one."""
        options = tuple(fill(row) for fill in self._options) or self._listed(row)
        for place, option in enumerate(options):
            if not option.strip():
                raise DataError(f"{row.place}: options: option {place} is empty; expected some text in each")
        answer = self._answer(row).strip()
        ways: Mapping[str, Callable[[], int]] = {
            "index": lambda: [str(place) for place in range(len(options))].index(answer),
            "letter": lambda: list(LETTERS[: len(options)]).index(answer.upper()),
            "text": lambda: [option.strip() for option in options].index(answer),
        }
        try:
            return options, ways[self._settings.answer_as]()
        except ValueError:
            expected = {
                "index": f"a place from 0 to {len(options) - 1}", "letter": f"a letter from A to {LETTERS[len(options) - 1]}",
                "text": f"one of the options {', '.join(options)}",
            }[self._settings.answer_as]  # fmt: skip
            raise DataError(f"{row.place}: answer: {answer!r:.60}; expected {expected} (see `answer_as`)") from None

    def _listed(self, row: Row) -> tuple[str, ...]:
        name = str(self._settings.options)
        listed = row.values.get(name)
        if (
            not isinstance(listed, (list, tuple))
            or len(listed) < 2
            or not all(isinstance(one, (str, int, float)) for one in listed)
        ):
            what = (
                f"{listed!r:.60}" if name in row.values else f"no such column among {', '.join(map(str, row.values))}"
            )
            raise DataError(f"{row.place}: options: column '{name}': {what}; expected a list of two texts or more")
        return tuple(str(one) for one in listed)
