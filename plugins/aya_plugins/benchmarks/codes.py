"""Language codes as benchmarks write them (jp, arb_Arab, zh_hans, PT-BR, Albanian), to the codes of rows.

A row's code has two letters where ISO 639-1 has them, else three. A script is left out where the language is mostly written so: zho_Hans
is zh, zho_Hant is zh-Hant, arb_Arab is ar.
"""

from __future__ import annotations

import re
from functools import cache

from aya_core.api import check_language

_THREE_LETTERS = """
aar aa abk ab afr af aka ak als sq alb sq sqi sq amh am ara ar arb ar arg an asm as ava av ave ae aym ay ayr ay aze az azj az bak ba bam
bm bel be ben bn bih bh bis bi bod bo bos bs bre br bul bg cat ca ces cs cha ch che ce chv cv cmn zh cor kw cos co cre cr cym cy dan da
deu de ger de div dv dzo dz ekk et ell el gre el eng en epo eo est et eus eu baq eu ewe ee fao fo fas fa per fa pes fa fij fj fin fi fra
fr fre fr fry fy ful ff fuv ff gaz om gla gd gle ga glg gl glv gv grn gn guj gu hat ht hau ha heb he her hz hin hi hmo ho hrv hr hun hu
hye hy arm hy ibo ig ido io iii ii iku iu ile ie ina ia ind id ipk ik isl is ice is ita it jav jv jpn ja kal kl kan kn kas ks kat ka geo
ka kau kr knc kr kaz kk khk mn khm km kik ki kin rw kir ky kmr ku kom kv kon kg kor ko kua kj kur ku lao lo lat la lav lv lvs lv lim li
lin ln lit lt ltz lb lub lu lug lg mah mh mal ml mar mr mkd mk mac mk mlg mg plt mg mlt mt mon mn mri mi msa ms may ms zsm ms mya my bur
my nau na nav nv nbl nr nde nd ndo ng nep ne npi ne nld nl dut nl nno nn nob nb nor no nya ny oci oc oji oj ori or ory or orm om oss os
pan pa pli pi pol pl por pt pus ps pbt ps que qu quy qu roh rm ron ro rum ro run rn rus ru sag sg san sa sin si slk sk slo sk slv sl sme
se smo sm sna sn snd sd som so sot st spa es srd sc srp sr ssw ss sun su swa sw swh sw swe sv tah ty tam ta tat tt tel te tgk tg tgl tl
tha th tib bo tir ti ton to tsn tn tso ts tuk tk tur tr twi tw uig ug ukr uk urd ur uzb uz uzn uz ven ve vie vi vol vo wln wa wol wo xho
xh yid yi ydd yi yor yo zha za zho zh chi zh zul zu
""".split()  # noqa: SIM905
TWO_LETTERS = dict(zip(_THREE_LETTERS[::2], _THREE_LETTERS[1::2], strict=True))
"""Codes of three letters, among them those of single languages that stand for their group (arb, swh), to ISO 639-1."""

THREE_LETTERS_ONLY = frozenset(
    "ary arz ast bem ceb ckb fil fuc gsw hmn hsb ilo kab mey nso pap prs scn shi tpi yue".split()  # noqa: SIM905
)
"""Languages without a code of two letters that may name a file without a script beside it."""

OTHER_CODES = {"jp": "ja", "kr": "ko", "cn": "zh", "ua": "uk", "iw": "he", "in": "id", "gr": "el", "cz": "cs"}
"""Codes that benchmarks use in place of ISO 639-1, when a set names its own (XWinograd writes jp)."""

SCRIPTS = frozenset(
    """
    arab armn beng cans cyrl deva ethi geor grek gujr guru hang hani hans hant hebr java jpan khmr knda kore laoo latn mlym mong mymr nkoo
    olck orya sinh syrc taml telu tfng thaa thai tibt
    """.split()  # noqa: SIM905
)
"""Codes of scripts, ISO 15924, in small letters."""

RARER_SCRIPTS = frozenset(
    """
    ace-Arab ar-Latn az-Arab bjn-Arab kk-Arab kr-Arab ks-Deva ku-Arab min-Arab mn-Mong ms-Arab pa-Arab sd-Deva sr-Latn taq-Tfng tt-Latn
    uz-Cyrl zh-Hant
    """.split()  # noqa: SIM905
)
"""Languages in a script that they are less written in; every other script is left out of the code."""

NAMES = {
    "albanian": "sq", "arabic": "ar", "armenian": "hy", "azerbaijani": "az", "basque": "eu", "belarusian": "be", "bengali": "bn",
    "bulgarian": "bg", "burmese": "my", "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "estonian": "et", "finnish": "fi", "french": "fr", "georgian": "ka", "german": "de", "greek": "el",
    "haitian": "ht", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "ja",
    "kazakh": "kk", "korean": "ko", "lithuanian": "lt", "malay": "ms", "malayalam": "ml", "nepali": "ne", "north macedonian": "mk",
    "macedonian": "mk", "persian": "fa", "polish": "pl", "portuguese": "pt", "quechua": "qu", "romanian": "ro", "russian": "ru",
    "serbian": "sr", "spanish": "es", "swahili": "sw", "tagalog": "tl", "tamil": "ta", "telugu": "te", "thai": "th",
    "turkish": "tr", "ukrainian": "uk", "urdu": "ur", "uzbek": "uz", "vietnamese": "vi",
}  # fmt: skip
"""English names, as INCLUDE writes them."""

_CODE = re.compile(
    r"(?P<language>[a-z]{2,3})(?:[-_](?P<script>[a-z]{4}))?(?:[-_](?P<region>[a-z]{2}|[0-9]{3}))?", re.IGNORECASE
)


@cache
def language_code(published: str, *, own_codes: bool = False) -> str | None:
    """Return the code of a row for a language as it was published, or None if that is no language.

    own_codes: the set is known to use codes such as jp; else they are no languages.
    """
    name = published.strip().lower().replace("_", " ")
    if name in NAMES:
        return NAMES[name]
    match = _CODE.fullmatch(published.strip())
    if match is None or (match["script"] or "latn").lower() not in SCRIPTS:
        return None
    language, script, region = match["language"].lower(), match["script"], match["region"]
    if own_codes:
        language = OTHER_CODES.get(language, language)
    if len(language) == 3:
        known = TWO_LETTERS.get(language, language if script or language in THREE_LETTERS_ONLY else None)
        if known is None:
            return None
        language = known
    if language == "zh" and region and not script:
        script = "Hant" if region.upper() in ("TW", "HK", "MO") else "Hans"
        region = None
    try:
        check_language(language)
    except ValueError:
        return None
    code = f"{language}-{script.title()}" if script else language
    if script and code not in RARER_SCRIPTS:
        code = language
    # XY is what MMMLU writes for a language of no one region
    return f"{code}-{region.upper()}" if region and region.upper() != "XY" else code
