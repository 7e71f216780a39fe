"""One code for each language, however it is written."""

import pytest

from aya_core.api import (
    LANGUAGES,
    check_language,
    counts_as,
    find_language,
    is_edition,
    language_name,
    plain_language,
)

THREE_LETTERS = {
    "ar": "ara arb", "cs": "ces cze", "de": "deu ger", "el": "ell gre", "en": "eng", "es": "spa", "fa": "fas per pes", "fr": "fra fre",
    "he": "heb iw", "hi": "hin", "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor", "nl": "nld dut", "pl": "pol", "pt": "por",
    "ro": "ron rum", "ru": "rus", "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "zho chi cmn", "ne": "nep npi", "ms": "msa may zsm",
    "sw": "swa swh", "sq": "sqi alb als", "et": "est ekk", "nb": "nob", "fil": "fil",
}  # fmt: skip


@pytest.mark.parametrize(("code", "others"), THREE_LETTERS.items())
def test_every_code_of_iso_639_is_its_language_in_any_case(code, others):
    for other in (code, *others.split()):
        for written in (other, other.upper(), other.title(), f" {other} "):
            assert find_language(written) == code


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_name_is_the_language_that_it_names(code):
    name = language_name(code)
    for written in (name, name.lower(), name.upper()):
        assert find_language(written) == code


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("arb_Arab", "ar"), ("arb_Latn", "ar-Latn"), ("zho_Hans", "zh-Hans"), ("zh-Hans", "zh-Hans"), ("ZH_HANT", "zh-Hant"),
        ("zh-TW", "zh-Hant"), ("zh_CN", "zh-Hans"), ("zh-HK", "zh-Hant"), ("zh-Hant-HK", "zh-Hant-HK"), ("zh-Hant-TW", "zh-Hant"),
        ("zh-cmn-Hans", "zh-Hans"), ("pt-BR", "pt-BR"), ("pt_br", "pt-BR"), ("por_BR", "pt-BR"), ("en-US", "en-US"), ("en_XX", "en"),
        ("AR-XY", "ar"), ("sr-Latn", "sr-Latn"), ("srp_Cyrl", "sr"), ("jpn_Jpan", "ja"), ("kor_Hang", "ko"),
        ("es-419", "es-419"),
        ("cat_Latn_vale1252", "ca-vale1252"), ("ca-valencia", "ca-valencia"), ("arz", "arz"), ("grc", "grc"), ("und", "und"),
        ("Standard Arabic", "ar"), ("simplified_chinese", "zh-Hans"), ("Traditional Chinese", "zh-Hant"),
        ("Chinese (Traditional)", "zh-Hant"),
        ("Brazilian Portuguese", "pt-BR"), ("Portuguese (Brazil)", "pt-BR"), ("Iranian Persian", "fa"),
        ("Serbian (Latin script)", "sr-Latn"),
        ("norwegian bokmal", "nb"), ("Ta'izzi-Adeni Arabic", "acq"), ("Kurdish (Sorani)", "ckb"),
        ("xx", None), ("qqq", None), ("", None), ("de-Qqqq", None), ("de-QQ", None),
        ("de_train", None), ("no_robots", None), ("en_1000", None), ("it_test", None),
        ("is_valid", None), ("Deutsch", None), ("jp", None), ("e", None),
    ],
)  # fmt: skip
def test_codes_and_names_are_read_as_people_write_them(written, code):
    assert find_language(written) == code


@pytest.mark.parametrize(
    "written", ["arb", "zho_Hans", "zh-TW", "pt_br", "srp_Latn", "Standard Arabic", "cat_Latn_vale1252", "und"]
)
def test_a_code_is_its_own_code(written):
    code = check_language(written)
    assert check_language(code) == code
    assert counts_as(code, [code]) == code
    assert plain_language(plain_language(code)) == plain_language(code)


@pytest.mark.parametrize(
    ("written", "meant"), [("jp", "ja"), ("ua", "uk"), ("Germn", "German"), ("zq", "code of ISO 639")]
)
def test_an_unknown_code_says_what_may_be_meant(written, meant):
    with pytest.raises(ValueError, match=f"unknown language code '{written}'.*{meant}"):
        check_language(written)


@pytest.mark.parametrize(
    ("code", "languages", "counted", "edition"),
    [
        ("zh", ["zh"], "zh", False), ("zh-Hant", ["zh"], "zh", True), ("zh-Hant", ["zh", "zh-Hant"], "zh-Hant", False),
        ("zh", ["zh-Hans", "zh-Hant"], "zh-Hans", False), ("zh-Hant", ["zh-Hans"], None, None),
        ("zh-Hant-HK", ["zh-Hant"], "zh-Hant", True),
        ("pt-BR", ["pt"], "pt", True), ("pt-BR", ["pt", "pt-BR"], "pt-BR", False), ("pt", ["pt-BR"], None, None),
        ("de", ["en"], None, None),
    ],
)  # fmt: skip
def test_an_edition_counts_as_its_language_unless_it_is_named(code, languages, counted, edition):
    assert counts_as(code, languages) == counted
    if counted is not None:
        assert is_edition(code, counted) == edition
