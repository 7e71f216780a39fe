"""Translating parallel text into English and out of it: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from aya_core.api import DataError, EvaluatedModel, Field, GenerationRequest, Sampling, language_name, user_prompt
from aya_plugins.benchmarks.drawn import hash_of
from aya_plugins.benchmarks.options import BenchmarkData
from aya_plugins.benchmarks.sources import FLORES, Source

ENGLISH = "en"

INTO_ENGLISH: Literal["xx-en"] = "xx-en"
OUT_OF_ENGLISH: Literal["en-xx"] = "en-xx"

PROMPT = "Translate the following text from {source} into {target}. Write the translation only, without explanations.\n\n{text}"
CONTINUED = "Translate from {source} into {target}.\n\n{source}: {text}\n{target}:"


class Segment(NamedTuple):
    """A sentence to be translated, and how a person translated it. language: the one that is not English. item: its line, which is
    the same sentence in all languages."""

    id: str
    item: str
    language: str
    direction: str
    source: str
    reference: str

    @property
    def ends(self) -> tuple[str, str]:
        """The languages of source and reference."""
        ends = (self.language, ENGLISH)
        return ends if self.direction == INTO_ENGLISH else ends[::-1]


class Triple(NamedTuple):
    """A translation by the model under test. hypothesis: empty where the model left the prompt out; is_answered says so."""

    id: str
    item: str
    language: str
    direction: str
    source: str
    hypothesis: str
    reference: str
    is_answered: bool = True


class Translation(BenchmarkData):
    """Settings of what is translated, and how it is asked; evaluators that share them share the translations."""

    source: ClassVar[Source] = FLORES

    split: Literal["devtest", "dev"] = Field(
        "devtest", description="Which part of the data; files whose names say none belong to it."
    )
    directions: tuple[Literal["xx-en", "en-xx"], ...] = Field(
        (INTO_ENGLISH, OUT_OF_ENGLISH), min_length=1, description="Into English, out of it, or both."
    )
    prompting: Literal["chat", "text"] = Field(
        "chat",
        description="`chat` asks for a translation; `text` gives a base model a line to complete, up to its end.",
    )
    max_tokens: int = Field(512, ge=1, description="Longest translation, in tokens.")

    def segments(self) -> Iterator[Segment]:
        """Yield what is to be translated, language by language, in both directions.

        Raises DataError where English is missing, or where the lines of a language and of English do not match.
        """
        texts = self._texts()
        english = texts.pop(ENGLISH, None)
        if english is None:
            raise DataError(f"{self.data or self.hub or self.source.hub}: no English; {self.source.where}")
        asked = self._asked(texts)
        if not asked:
            raise DataError(f"{self.data or self.hub or self.source.hub}: English alone; {self.source.where}")
        kept = frozenset(english if self.limit is None else sorted(english, key=hash_of)[: self.limit])
        for language in asked:
            lines = texts[language]
            if lines.keys() != english.keys():
                raise DataError(
                    f"{self.data or self.hub or self.source.hub}: {len(lines)} lines in {language}, {len(english)} in English; "
                    f"expected the same lines, as line {_first_difference(lines, english)} is in one of them only"
                )
            for direction in dict.fromkeys(self.directions):
                for key, text in lines.items():
                    if key not in kept:
                        continue
                    ends = (text, english[key])
                    source, reference = ends if direction == INTO_ENGLISH else ends[::-1]
                    yield Segment(f"{language}:{direction}:{key}", key, language, direction, source, reference)

    def requests(self) -> Iterator[GenerationRequest]:
        """Ask for each translation."""
        is_text = self.prompting == "text"
        sampling = Sampling(
            temperature=0, max_tokens=self.max_tokens, prompting=self.prompting, stop=("\n",) if is_text else ()
        )
        template = CONTINUED if is_text else PROMPT
        for one in self.segments():
            source, target = map(language_name, one.ends)
            text = template.format(source=source, target=target, text=one.source)
            meta = {"direction": one.direction, "source": one.source}
            yield GenerationRequest(user_prompt(one.id, one.language, text, one.reference, meta), sampling)

    def translations(self, evaluated: EvaluatedModel) -> Iterator[Triple]:
        """Yield what a model made of each segment, in the order asked; spaces and lines around it are no part of it."""
        for one in self.segments():
            answers = evaluated.replies.completions.get(one.id)
            text = answers[0].text.strip() if answers else ""
            yield Triple(one.id, one.item, one.language, one.direction, one.source, text, one.reference, bool(answers))

    def translation_signature(self) -> Mapping[str, str]:
        """Name what moves the translations."""
        return {
            **self.data_signature(), "split": self.split, "directions": " ".join(dict.fromkeys(self.directions)), "shots": "0",
            "template": CONTINUED if self.prompting == "text" else PROMPT, "prompting": self.prompting,
            "decoding": f"greedy, {self.max_tokens} tokens",
        }  # fmt: skip

    def _texts(self) -> dict[str, dict[str, str]]:
        """Sentences by language and by what aligns them: FLORES+ numbers them, files of plain lines do by line."""
        languages = None if self.asked_languages is None else tuple(dict.fromkeys((*self.asked_languages, ENGLISH)))
        texts: dict[str, dict[str, str]] = {}
        for row in self.rows_in(languages, self.split):
            key = str(row.values.get("id", row.number))
            of_language = texts.setdefault(row.language, {})
            if key in of_language:
                raise DataError(
                    f"{row.place}: a second line {key} in {row.language}; expected one file of each language and split"
                )
            of_language[key] = row.text("text")
        return texts

    def _asked(self, texts: Mapping[str, Mapping[str, str]]) -> Sequence[str]:
        """The languages to translate from and into; varieties of English are left out unless they are named."""
        if self.asked_languages is None:
            return [language for language in texts if language.split("-")[0] != ENGLISH]
        return [language for language in self.asked_languages if language != ENGLISH and language in texts]


def _first_difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    return next(key for key in (*ours, *theirs) if key not in ours or key not in theirs)
