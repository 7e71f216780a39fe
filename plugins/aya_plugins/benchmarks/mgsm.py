"""MGSM's prompts with chains of thought in the language of the question, and the answers read from chains of thought.

Both are those of lm-evaluation-harness 0.4.13, tasks mgsm_native_cot_*, version 4.0, to the letter, where they are odd as well.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aya_plugins.numerals import last_number, readings

TEMPLATE = "lm-eval mgsm_native_cot 4.0"

INVALID = "[invalid]"
"""What the harness makes of a text without an answer; no answer equals it."""

NUMBER = r"(\-?[0-9\.\,]+)"
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Exemplar(NamedTuple):
    """An example as it was published: both texts with the words that open them."""

    question: str
    answer: str


@dataclass(frozen=True)
class Wording:
    """The words of one language: what opens a question, what asks for steps, and the sentence with the result."""

    question: str
    answer: str
    result: str

    def ask(self, question: str) -> str:
        """Write a question of the test set; examples have the words that open it."""
        return f"{self.question} {question}\n{self.answer}"

    def example(self, exemplar: Exemplar) -> tuple[str, str]:
        """Write an example: what is asked, and the chain of thought.

        As many characters as the words for steps have, and one, are taken from its start. The published examples write these words
        otherwise in Japanese, Chinese and Russian: the first two lose the first character of the thought, the last keeps a space.
        """
        return f"{exemplar.question}\n{self.answer}", exemplar.answer[len(self.answer) + 1 :]

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        return self.question, "</s>", "<|im_end|>"

    def strict(self, text: str) -> str:
        """Return the number in the first sentence with a result, as it is written there."""
        found = re.findall(self.result.replace("#", NUMBER), text)
        return str(found[0]) if found else INVALID


WORDINGS = {
    "bn": Wording("প্রশ্ন:", "ধাপে ধাপে উত্তর:", "The answer is #"),
    "de": Wording("Frage:", "Schritt-für-Schritt-Antwort:", "Die Antwort lautet #"),
    "en": Wording("Question:", "Step-by-Step Answer:", "The answer is #"),
    "es": Wording("Pregunta:", "Respuesta paso a paso:", "La respuesta es #"),
    "fr": Wording("Question :", "Réponse étape par étape :", "La réponse est #"),
    "ja": Wording("問題：", "ステップごとの答え:", "答えは#です。"),
    "ru": Wording("Задача:", "Пошаговоерешение:", "Ответ — #"),
    "sw": Wording("Swali:", "Jibu la Hatua kwa Hatua:", "Jibu ni #"),
    "te": Wording("ప్రశ్న:", "దశలవారీగా సమాధానం:", "సమాధానం #"),
    "th": Wording("โจทย์:", "คำตอบทีละขั้นตอน:", "คำตอบคือ #"),
    "zh": Wording("问题：", "逐步解答:", "答案是 #。"),
}
"""By language. Bengali results are looked for in English, though its examples give them in Bengali: strict scores are near 0."""


def flexible(text: str) -> str:
    """Return the last number of a text, or what looks like one."""
    found = FLEXIBLE.findall(text)
    return next(part for part in found[-1] if part).strip() if found else INVALID


def is_same(answer: str, gold: str) -> bool:
    """Whether two answers are equal but for case and punctuation: 5,600 is 5600, and so is 56.00."""
    return _plain(answer) == _plain(gold)


def means(text: str, gold: str, language: str | None = None) -> bool:
    """Whether the last number of a text has the value of the gold answer, in the digits and the punctuation of its language."""
    return bool(last_number(text, language) & readings(gold.replace(",", ""), "en"))


def written(examples: Sequence[tuple[str, str]], asked: str) -> str:
    """Write examples and a question as one text."""
    return "".join(f"{question} {answer}\n\n" for question, answer in examples) + asked


def _plain(text: str) -> str:
    return text.lower().translate(_NO_PUNCTUATION)
