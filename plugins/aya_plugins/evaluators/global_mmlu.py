"""Measure what a model knows of 57 subjects, in up to 42 languages, and how much that depends on knowing a culture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import ClassVar, NamedTuple

from aya_core.api import DataError, Evaluator, EvaluatorStrategy, Field
from aya_plugins.benchmarks.names import language_code
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import GLOBAL_MMLU, Source
from aya_plugins.benchmarks.tables import Row
from aya_plugins.evaluators.multiple_choice import (
    METRICS,
    PROMPTING,
    MultipleChoice,
    Prompting,
    Question,
    choices,
    label_of,
)

LETTERS = ("A", "B", "C", "D")
OPTIONS = tuple(f"option_{letter.lower()}" for letter in LETTERS)

CULTURES = {"CS": "culturally sensitive", "CA": "culturally agnostic"}
"""What cultural_sensitivity_label may say; rows without one count in neither."""


class Exam(NamedTuple):
    """A question with its options, and the letter of the right one."""

    row: Row
    subject: str
    question: str
    options: tuple[str, ...]
    answer: int

    @property
    def text(self) -> str:
        """The question as a model sees it; the word `Answer:` is English in every language."""
        options = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, self.options, strict=True))
        return f"{self.question.strip()}\n{options}Answer:"

    @property
    def groups(self) -> tuple[str, ...]:
        """The parts of the benchmark that it belongs to."""
        category = self.row.values.get("subject_category")
        culture = CULTURES.get(str(self.row.values.get("cultural_sensitivity_label")))
        subject = f"subject {self.subject}" if self.subject else None
        return tuple(filter(None, (subject, f"category {category}" if category else None, culture)))


class GlobalMmlu(BenchmarkData, EvaluatorStrategy):
    """Measure accuracy on Global-MMLU's or plain MMLU's test rows: which letter is likelier after a question and its options.

    As many examples come before as `shots` says: the first rows of the subject in the development split. Accuracy is given by
    subject, by category and on the culturally sensitive and agnostic rows, too, where the data says them.

    Source: Singh et al. 2024, arXiv 2412.03304; Hendrycks et al. 2021, arXiv 2009.03300; prompts of lm-evaluation-harness 0.4.13, tasks
    global_mmlu_full_*, version 0.0.
    """

    asks = True
    metrics = METRICS
    source: ClassVar[Source] = GLOBAL_MMLU

    shots: int = Field(5, ge=0, description="Examples before each question.")
    prompting: Prompting = Field("text", description=PROMPTING)

    def build(self) -> Evaluator:
        """Make the evaluator; rows are read when requests are asked for."""
        return MultipleChoice(self._questions, self._signature)

    def _signature(self) -> dict[str, str]:
        return {
            **self.data_signature(), "template": "lm-eval global_mmlu_full 0.0", "shots": f"first {self.shots} of dev",
            "prompting": self.prompting,
        }  # fmt: skip

    def _questions(self) -> Iterator[Question]:
        """Questions of a language and subject follow one another, for what comes before them is the same."""
        examples = self._examples()
        for language, rows in groupby(self.asked("test"), key=lambda row: row.language):
            for exam in sorted(map(exam_of, rows), key=lambda exam: exam.subject):
                before = self._before(exam, examples.get((language, exam.subject), ()))
                yield Question(
                    language,
                    exam.options,
                    choices(before + exam.text, LETTERS, self.prompting),
                    exam.answer,
                    exam.groups,
                    exam.row.item("sample_id"),
                )

    def _examples(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """The first rows of the development split with their answers, by language and subject."""
        found: dict[tuple[str, str], list[str]] = {}
        for row in self.rows("dev") if self.shots else ():
            exam = exam_of(row)
            kept = found.setdefault((row.language, exam.subject), [])
            if len(kept) < self.shots:
                kept.append(f"{exam.text} {LETTERS[exam.answer]}\n\n")
        return found

    def _before(self, exam: Exam, examples: Sequence[str]) -> str:
        if len(examples) < self.shots:
            subject = f" of the subject '{exam.subject}'" if exam.subject else ""
            raise DataError(
                f"{exam.row.place}: {len(examples)} rows{subject} in the language '{exam.row.language}' are in the split dev, "
                f"and {self.shots} are to come before it; add dev rows, or set `shots`"
            )
        return "".join(examples)


def exam_of(row: Row) -> Exam:
    """Read a row; its subject is in its column, or else its file is named by it. Raises DataError with file and line."""
    subject = row.values.get("subject")
    if not isinstance(subject, str) or not subject:
        subject = "" if language_code(row.subject) else row.subject
    more = [name for name in row.values if name.startswith("option_") and name not in OPTIONS and row.values[name]]
    if more:
        raise DataError(f"{row.place}: {len(OPTIONS) + len(more)} options; there are letters for {len(LETTERS)}")
    options = []
    for name in OPTIONS:
        value = row.values.get(name)
        if value is None or isinstance(value, (list, dict)):
            raise DataError(
                f"{row.place}: {name}: {value!r:.60}; expected {len(LETTERS)} options, {', '.join(OPTIONS)}"
            )
        options.append(str(value))
    return Exam(row, subject, row.text("question"), tuple(options), label_of(row, "answer", LETTERS))
