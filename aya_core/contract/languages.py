"""Language codes that recipes and rows may use."""

from __future__ import annotations

import re
from functools import cache

from aya_core.contract.errors import did_you_mean
from aya_core.contract.records import LANGUAGES, UNKNOWN_LANGUAGE

ISO_639_1 = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
    en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
    ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
    nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
    sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()  # noqa: SIM905
)
"""Every two-letter code of ISO 639-1."""

NAMES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "tr": "Turkish",
    "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""English names of the 23 languages."""

SCRIPTS = {"Hans": "simplified characters", "Hant": "traditional characters", "Latn": "Latin script"}
"""What a script subtag asks for, in words."""

_SUBTAGS = re.compile(r"(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")


@cache
def check_language(code: str) -> str:
    """Return the code if it is one: two ISO letters, or three, with script and region if you like (zh-Hant, pt-BR).

    Raises ValueError with the nearest of the 23 languages.
    """
    language, subtags = re.match(r"([^-_]*)(.*)", code, re.DOTALL).groups()  # type: ignore[union-attr]
    known = language in ISO_639_1 or re.fullmatch(r"[a-z]{3}", language)
    if code != UNKNOWN_LANGUAGE and not (known and _SUBTAGS.fullmatch(subtags)):
        raise ValueError(f"unknown language code '{code}'; {did_you_mean(code, LANGUAGES)}")
    return code


def language_name(code: str) -> str:
    """Say a language in English words, for prompts to judges: zh-Hant is "Chinese (traditional characters)".

    A language beyond the 23 is named by its code.
    """
    language, *subtags = code.split("-")
    name = NAMES.get(language, f"the language with the code '{language}'")
    details = [SCRIPTS.get(subtag, subtag) for subtag in subtags]
    return f"{name} ({', '.join(details)})" if details else name
