"""Languages: one code for each, however it is written, and what it is called.

A code has two letters where ISO 639-1 has them, else three; a script, a region or a variant follows where it tells editions apart.

| written | code |
|---|---|
| `arb`, `ara`, `arb_Arab`, `AR`, Standard Arabic | ar |
| `zho`, `cmn_Hans`, `zh-CN`, `zh_hans`, Simplified Chinese | zh-Hans, of which rows keep zh |
| `zho_Hant`, `zh-TW`, Traditional Chinese | zh-Hant |
| `pt_br`, `por-BR`, Brazilian Portuguese, Portuguese (Brazil) | pt-BR |
| `srp_Latn`, Serbian (Latin script) | sr-Latn |
| `en_XX`, `deu_Latn` | en, de |

A dialect is a language of its own (`arz`, `ary`), as benchmarks have them beside the standard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from aya_core.contract.records import LANGUAGES, UNKNOWN_LANGUAGE

_TABLE = "languages.tsv"

SCRIPTS = frozenset(
    """
    adlm arab armn bali beng bopo bugi cans cham cher copt cyrl deva dsrt ethi geor glag goth grek gujr guru hang hani hans hant hebr
    hira java jpan kana khmr knda kore kthi lana laoo latn lisu mlym mong mtei mymr newa nkoo olck orya osge rohg sinh sund sylo syrc
    tale talu taml tavt telu tfng tglg thaa thai tibt tirh vaii yiii
    """.split()  # noqa: SIM905
)
"""Codes of scripts that languages are written in today, ISO 15924, in small letters."""

REGIONS = frozenset(
    """
    ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz ca cc cd cf cg ch ci ck
    cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs
    gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv
    ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm
    pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr
    tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw xk xx xy uk
    """.split()  # noqa: SIM905
)
"""Codes of countries, ISO 3166, in small letters; XX and XY, which data sets write for no region; and UK for GB."""

DETAILS = {
    "Hans": "simplified characters", "Hant": "traditional characters", "Latn": "Latin script", "Arab": "Arabic script",
    "Cyrl": "Cyrillic script", "Deva": "Devanagari script", "Tfng": "Tifinagh script", "Mong": "Mongolian script",
    "BR": "Brazil", "PT": "Portugal", "MZ": "Mozambique", "AO": "Angola", "CA": "Canada", "MX": "Mexico", "AR": "Argentina", "ES": "Spain",
    "FR": "France", "BE": "Belgium", "CH": "Switzerland", "AT": "Austria", "DE": "Germany", "US": "United States", "GB": "United Kingdom",
    "AU": "Australia", "IN": "India", "TW": "Taiwan", "HK": "Hong Kong", "MO": "Macao", "SG": "Singapore", "CN": "China",
}  # fmt: skip
"""What a script or a region is called, beside the name of a language."""

_WRITTEN = {
    **{name.lower(): tag for tag, name in DETAILS.items()}, "simplified": "Hans", "traditional": "Hant", "simplified han": "Hans",
    "traditional han": "Hant", "romanized": "Latn", "latin": "Latn", "arabic": "Arab", "cyrillic": "Cyrl", "devanagari": "Deva",
    "usa": "US", "uk": "GB", "great britain": "GB",
}  # fmt: skip
"""What names of languages say in brackets, to the subtag."""

_OTHERS_CODES = {"jp": "ja", "kr": "ko", "cn": "zh", "ua": "uk", "gr": "el", "cz": "cs", "dk": "da", "vn": "vi"}
"""Codes of countries, as which languages are often written by mistake; an error proposes the language."""

_CODE = re.compile(
    r"(?:zh[-_](?=cmn|yue|wuu|nan|hak))?(?P<language>[a-z]{2,3})(?:[-_](?P<script>[a-z]{4}))?(?:[-_](?P<region>[a-z]{2}|[0-9]{3}))?"
    # a variety by its Glottolog code, as in FLORES+, or a variant of BCP 47 that data sets have; other words (de_train) are none
    r"(?P<variants>(?:[-_](?:[a-z]{4}[0-9]{4}|valencia|tarask|radical|ekavsk|ijekavsk|oxendict|pinyin|1901|1994|1996))*)",
    re.IGNORECASE,
)


LONGEST = 100
"""Characters of the name of a language."""


class _Languages(NamedTuple):
    """The table. codes: of every way to write one, the code. scripts: that a code goes without. names: of codes. named: codes by name."""

    codes: dict[str, str]
    scripts: dict[str, frozenset[str]]
    names: dict[str, str]
    named: dict[str, str]


@cache
def _languages() -> _Languages:
    found = _Languages({}, {}, {}, {})
    for line in (Path(__file__).parent / _TABLE).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if "\t" not in line:
            found.codes.update(zip(line.split(), line.split(), strict=True))
            continue
        code, others, scripts, names = line.split("\t")
        if scripts:  # an edition of a language, such as zh-Hant, has names alone
            found.codes.update(dict.fromkeys((code, *others.split()), code))
            found.scripts[code] = frozenset(scripts.lower().split())
            found.names[code] = names.split("; ")[0]
        found.named.update({_key(name): code for name in names.split("; ")})
    return found


def _key(name: str) -> str:
    """A name without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", name.strip().lower())
    return " ".join(re.findall(r"[^\W_]+", "".join(mark for mark in letters if not unicodedata.combining(mark))))


def find_language(written: str) -> str | None:
    """Return the code of a language, however it is written: a code of ISO 639 with script and region, or an English name; None if it
    is no language. Simplified Chinese is zh-Hans here; see `plain_language`."""
    return _found(written) if len(written) <= LONGEST else None


@lru_cache(maxsize=10_000)  # rows may hold anything
def _found(written: str) -> str | None:
    if written == UNKNOWN_LANGUAGE:
        return written
    match = _CODE.fullmatch(written.strip())
    return (_of_tag(match) if match else None) or _of_name(written)


def _of_tag(match: re.Match[str]) -> str | None:
    table = _languages()
    language = table.codes.get(match["language"].lower())
    script, region = (match["script"] or "").lower(), (match["region"] or "").lower()
    if language is None or (script and script not in SCRIPTS) or (region.isalpha() and region not in REGIONS):
        return None
    region = {"xx": "", "xy": "", "uk": "gb"}.get(region, region)
    if language == "zh" and region and not script:
        script, region = ("hant" if region in ("tw", "hk", "mo") else "hans"), ""
    if (script, region) in (("hans", "cn"), ("hant", "tw")):
        region = ""
    if script in table.scripts.get(language, ()):
        script = ""
    variants = re.split("[-_]", match["variants"].lower())
    return "-".join(filter(None, (language, script.title(), region.upper(), *variants)))


def _of_name(written: str) -> str | None:
    named = _languages().named
    if found := named.get(_key(written)):
        return found
    if match := re.fullmatch(r"\s*([^()]+?)\s*\(([^()]+)\)\s*", written):
        name, detail = _key(match[1]), _key(match[2])
        if found := named.get(f"{detail} {name}"):
            return found
        if name in named and detail in _WRITTEN:
            return find_language(f"{named[name]}-{_WRITTEN[detail]}")
    return None


@lru_cache(maxsize=10_000)
def check_language(written: str) -> str:
    """Return the code of a language, as `find_language` does. Raises ValueError, with what may have been meant, if it is none."""
    code = find_language(written)
    if code is None:
        near = get_close_matches(written.strip()[:LONGEST], (*LANGUAGES, *map(language_name, LANGUAGES)), n=1)
        meant = _OTHERS_CODES.get(written.strip().lower()) or (near[0] if near else None)
        expected = "expected a code of ISO 639, such as en, eng or zh-Hant, or an English name"
        raise ValueError(
            f"unknown language code '{_shown(written)}'; " + (f"did you mean '{meant}'?" if meant else expected)
        )
    return code


def plain_language(code: str) -> str:
    """Return the code that a row has: zh for simplified Chinese, as most data writes it; any other stays."""
    return "zh" if code == "zh-Hans" else code


def counts_as(code: str, languages: Collection[str]) -> str | None:
    """Return the one of some languages that a row counts as; None for none of them.

    The language itself goes first; simplified Chinese is zh and zh-Hans alike. An edition that is not named counts as its language:
    zh-Hant as zh, pt-BR as pt.
    """
    if code in languages:  # as nearly always
        return code
    return next((one for one in _readings(code) if one in languages), None)


def is_edition(code: str, language: str) -> bool:
    """Whether a row counts as a language only because its own edition is not named: zh-Hant as zh."""
    return plain_language(code) != plain_language(language)


def _readings(code: str) -> Iterator[str]:
    yield code
    yield plain_language(code)
    if code.split("-")[0] == "zh" and "Hant" not in code:
        yield "zh-Hans"
    while "-" in code:
        code = code.rpartition("-")[0]
        yield code


def language_name(code: str) -> str:
    """Say a language in English words, for prompts: zh-Hant is "Chinese (traditional characters)". One without a name here is named by
    its code."""
    language, *subtags = code.split("-")
    name = _languages().names.get(language, f"the language with the code '{language}'")
    details = [DETAILS.get(subtag, subtag) for subtag in subtags]
    return f"{name} ({', '.join(details)})" if details else name


def _shown(written: str) -> str:
    return written if len(written) <= LONGEST else f"{written[:LONGEST]}..."
