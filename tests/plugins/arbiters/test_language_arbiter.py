"""Laws of the language gate: an answer passes in its own language and in no other, whatever code stands in it."""

import itertools
import random
import re
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from aya_core.api import LANGUAGES, Case, Completion, Verdict, user_prompt
from aya_plugins.arbiters.language import Language
from aya_plugins.language_id.han import sides
from aya_plugins.language_id.identifier import LABELS, Identifier
from aya_plugins.language_id.prose import prose
from aya_plugins.language_id.scripts import RANGES, letters, script_of
from aya_plugins.language_id.share import pieces

TEXTS = {
    "ar": "تشرق الشمس كل صباح من جهة الشرق، ويذهب الأطفال إلى المدرسة بعد أن يتناولوا الفطور مع العائلة.",
    "cs": "Každé ráno vychází slunce na východě a děti jdou po snídani s rodinou pěšky do školy za městem.",
    "de": "Jeden Morgen geht die Sonne im Osten auf, und die Kinder gehen nach dem Frühstück zu Fuß zur Schule.",
    "el": "Κάθε πρωί ο ήλιος ανατέλλει στην ανατολή και τα παιδιά πηγαίνουν με τα πόδια στο σχολείο τους.",
    "en": "Every morning the sun rises in the east, and the children walk to school after breakfast at home.",
    "es": "Cada mañana el sol sale por el este y los niños van andando a la escuela después de desayunar en casa.",
    "fa": "هر روز صبح خورشید از شرق طلوع می‌کند و بچه‌ها بعد از خوردن صبحانه با خانواده پیاده به مدرسه می‌روند.",
    "fr": "Chaque matin, le soleil se lève à l'est et les enfants vont à pied à l'école après le petit déjeuner.",
    "he": "בכל בוקר השמש זורחת במזרח, והילדים הולכים ברגל לבית הספר אחרי ארוחת הבוקר עם כל המשפחה.",
    "hi": "हर सुबह सूरज पूर्व में उगता है और बच्चे परिवार के साथ नाश्ता करने के बाद पैदल स्कूल जाते हैं।",
    "id": "Setiap pagi matahari terbit di timur, dan anak-anak berjalan kaki ke sekolah karena mereka bisa setelah sarapan.",
    "it": "Ogni mattina il sole sorge a est e i bambini vanno a piedi a scuola dopo aver fatto colazione a casa.",
    "ja": "毎朝、太陽は東から昇り、子どもたちは家族と朝ごはんを食べたあとで、歩いて学校へ行きます。",
    "ko": "매일 아침 해는 동쪽에서 뜨고, 아이들은 가족과 함께 아침을 먹은 뒤에 걸어서 학교에 갑니다.",
    "nl": "Elke ochtend komt de zon op in het oosten en lopen de kinderen na het ontbijt samen naar school.",
    "pl": "Każdego ranka słońce wschodzi na wschodzie, a dzieci po śniadaniu z rodziną idą pieszo do szkoły.",
    "pt": "Todas as manhãs o sol nasce no leste e as crianças vão a pé para a escola depois do café da manhã.",
    "ro": "În fiecare dimineață soarele răsare la est, iar copiii merg pe jos la școală după micul dejun.",
    "ru": "Каждое утро солнце встаёт на востоке, и дети после завтрака с семьёй идут пешком в школу.",
    "tr": "Her sabah güneş doğudan doğar ve çocuklar aileleriyle kahvaltı yaptıktan sonra yürüyerek okula gider.",
    "uk": "Щоранку сонце сходить на сході, і діти після сніданку з родиною йдуть пішки до школи.",
    "vi": "Mỗi buổi sáng mặt trời mọc ở phía đông và trẻ em đi bộ đến trường sau khi ăn sáng cùng gia đình.",
    "zh": "每天早上太阳从东方升起，孩子们和家人一起吃过早饭以后，就走路去学校上课。",
}
TRADITIONAL = "每天早上太陽從東方升起，孩子們和家人一起吃過早飯以後，就走路去學校上課。"
CODE = "```python\nfor index, value in enumerate(values):\n    total += value * weights[index]\n    print(total)\n```"


@cache
def built():
    return Language().build()


def judge(*texts: str, language: str = "en", meta=None, **settings) -> list[Verdict]:
    candidates = tuple(Completion("p", "t", n, text) for n, text in enumerate(texts))
    case = Case(user_prompt("p", language, "?", meta=meta), candidates)
    (verdicts,) = (Language(**settings).build() if settings else built()).judge([case])
    return list(verdicts)


def verdict(text: str, language: str, **settings) -> Verdict:
    return judge(text, language=language, **settings)[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_passes_in_its_own_language_and_in_none_of_the_others(language: str):
    for asked in LANGUAGES:
        found = verdict(TEXTS[language], asked)
        assert (found.status == "scored") == (asked == language), (asked, found)
        assert found.details["wrong_language"] == float(asked != language)
    assert verdict(TEXTS[language], language).score == pytest.approx(1)


def test_the_reason_names_both_languages():
    assert verdict(TEXTS["fr"], "de").reason == "in French, asked for German"


def test_capitals_are_letters_like_others():
    assert all(verdict(text.upper(), language).status == "scored" for language, text in TEXTS.items())


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_formulas_and_addresses_do_not_count(language: str):
    junk = (
        f"{CODE}\n$$\\text{{where the sum of all the weights is one}}$$ `an_inline_name` and https://example.org/a/long/path/to/it"
        " $x + y$ info@example.org <div class='the outer box of this page'></div>\n```\nan open fence "
        + "that runs on "
        * 20
    )
    found = verdict(f"{TEXTS[language]}\n{junk}", language)
    assert found.score is not None
    assert found.score > 0.9


@pytest.mark.parametrize(("language", "other"), [*itertools.product(["de", "ja", "ru", "hi"], ["en", "zh"])])
def test_a_quotation_in_another_language_does_not_flip_the_answer(language: str, other: str):
    found = verdict(f"{TEXTS[language]}\n\n{TEXTS[language]} “{TEXTS[other]}” {TEXTS[language]}", language)
    assert found.score is not None
    assert 0.5 < found.score < 1


def test_an_answer_that_changes_over_to_another_language_does_not_pass():
    found = verdict(f"{TEXTS['de']}\n{TEXTS['en']}\n{TEXTS['en']}", "de")
    assert found.status == "abstained"


def test_the_share_that_must_be_in_the_language_is_a_setting():
    half = f"{TEXTS['de']}\n{TEXTS['en']}"
    assert verdict(half, "de", min_share=0.3).status == "scored"
    assert verdict(half, "de", min_share=0.9).reason.startswith(("only 5", "only 4", "in English"))


LONG = {language: f"{text} {text}" for language, text in TEXTS.items()}
CLOSE = {("id", "ms"), ("zh", "ja"), ("ja", "zh")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_that_changes_half_way_does_not_pass(language: str):
    """Into each of the other 22 languages: two sentences between ten of the right one and one more."""
    answer = "\n".join([LONG[language]] * 5)
    assert verdict(answer, language).score == pytest.approx(1)
    for other in LANGUAGES:
        if other != language:
            found = verdict(f"{answer}\n{LONG[other]}\n{LONG[language]}", language)
            assert (found.status, found.details["lapsed"]) == ("abstained", 1), (other, found)
            assert "for a passage" in found.reason
            assert verdict(f"{answer}\n{LONG[other]}\n{LONG[language]}", language, lapses="pass").status == "scored"


PASSAGES = {
    "zh": "以及安全性和合规性等方面的问题",
    "ru": "и поэтому все эти правила нужно соблюдать", "ar": "ولذلك يجب على الجميع احترام هذه القواعد",

    "hi": "इसलिए सभी लोगों को इन सभी नियमों का पालन करना चाहिए", "ko": "그래서 모두가 이 모든 규칙을 지켜야 합니다",
    "el": "και γι αυτό πρέπει όλοι να τηρούν τους κανόνες",
    "he": "ולכן כולם חייבים לשמור על כל הכללים האלה", "ja": "そのため、すべての規則を守らなければなりません",
}  # fmt: skip


@pytest.mark.parametrize("into", PASSAGES)
def test_a_passage_in_another_script_is_noticed_inside_of_a_line(into: str):
    for language in LANGUAGES:
        if script_of(language) != script_of(into) and {language, into} != {"zh", "ja"}:
            answer = f"{LONG[language]} {LONG[language]} {PASSAGES[into]} {LONG[language]}"
            assert verdict(answer, language).details["lapsed"] == 1, language


def _prompted(prompt: str, answer: str, language: str) -> Verdict:
    case = Case(user_prompt("p", language, prompt), (Completion("p", "t", 0, answer),))
    ((found,),) = built().judge([case])
    return found


@pytest.mark.parametrize(
    "prompt",
    [
        "Translate into every language that you know: good morning.", "How does one say that in Chinese?", "Teach me some Mandarin.",
        f"What does this mean: {TEXTS['zh']}?", "Tradúcelo",
        "Wie sagt man das auf Chinesisch?", "Przetłumacz to na chiński", "كيف أقولها بالصينية؟",
    ],
)  # fmt: skip
def test_a_prompt_that_speaks_of_another_language_may_be_answered_with_it(prompt: str):
    answer = f"{LONG['en']}\n{TEXTS['zh']}\n{LONG['en']}"
    assert _prompted(prompt, answer, "en").status == "scored"
    assert _prompted("Speak of integrity.", answer, "en").details["lapsed"] == 1
    assert _prompted("How does one say that in Russian?", answer, "en").details["lapsed"] == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_terms_titles_code_and_quotations_are_no_lapse(language: str):
    titles = "\n".join(
        f"{n}. {title}" for n, title in enumerate([
            "Weapons of Math Destruction: How Big Data Increases Inequality and Threatens Democracy", "Life 3.0 (Max Tegmark)",
            "《红楼梦》", "北京大学出版社", "Лев Толстой, «Война и мир»", "كليلة ودمنة",
            "| React | Kubernetes | PyTorch | TensorFlow | JavaScript |",
        ], 1)
    )  # fmt: skip
    code = "```\n# 这里我们计算所有数字的总和并且打印出来\nprint(total)\n```\nhttps://例え.jp/これはとても長いアドレスですから読まないでください"
    answer = f"{LONG[language]}\n{LONG[language]}\n{titles}\n{code}\n“{TEXTS['zh']}”\n{LONG[language]}"
    assert verdict(answer, language).status == "scored"


def test_letters_of_a_script_are_of_that_script_and_of_no_other():
    """The range of Hebrew once ran from a vowel to the presentation forms, Chinese included, so Hebrew answers could change into it."""
    names = {
        "ARABIC": "Arab", "CYRILLIC": "Cyrl", "DEVANAGARI": "Deva", "CJK": "Hani", "HANGUL": "Hang", "HIRAGANA": "Hira",
        "KATAKANA": "Kana", "LATIN": "Latn", "HEBREW": "Hebr", "THAI": "Thai", "ARMENIAN": "Armn", "GEORGIAN": "Geor",
    }  # fmt: skip
    patterns = {script: re.compile(f"[{letters}]") for script, letters in RANGES.items()}
    for character in filter(str.isalpha, map(chr, range(0x30000))):
        found = [script for script, pattern in patterns.items() if pattern.match(character)]
        name = unicodedata.name(character, "").split(" ")[0]
        assert len(found) <= 1, (character, found)
        if found and "SMALL CAPITAL" not in unicodedata.name(character, ""):  # of phonetics
            assert names.get(name, found[0]) == found[0], (character, found)


@pytest.mark.parametrize("language", ["ru", "ja", "hi", "zh", "he"])
def test_foreign_words_inside_a_sentence_do_not_hide_its_language(language: str):
    assert verdict(f"PyTorch {TEXTS[language]} Machine learning, Hugging Face.", language).status == "scored"


@pytest.mark.parametrize(
    "text", ["", "42", "OK", "3.14 = π", "\U0001f600\U0001f600", CODE, "https://example.org", "Да."]
)
def test_too_little_text_passes_as_undetermined_or_abstains(text: str):
    details = {"wrong_language": 0, "wrong_script": 0, "lapsed": 0, "undetermined": 1}
    assert verdict(text, "de") == Verdict(1.0, details=details)
    found = verdict(text, "de", undetermined="abstain")
    assert (found.status, found.reason) == ("abstained", "too little text to tell its language")
    assert found.details["undetermined"] == 1


def test_a_chinese_character_counts_for_three_letters():
    assert letters("abc é") == 4
    assert letters("中文") == 6
    assert verdict("我不知道这个问题", "en").details["wrong_language"] == 1


def test_simplified_and_traditional_characters_are_told_apart_where_the_prompt_asks():
    for text, own, other in ((TEXTS["zh"], "zh-Hans", "zh-Hant"), (TRADITIONAL, "zh-Hant", "zh-Hans")):
        assert verdict(text, "zh").score == verdict(text, own).score == 1
        found = verdict(text, other)
        assert (found.status, found.details["wrong_script"], found.details["wrong_language"]) == ("abstained", 1, 0)
    assert verdict(TRADITIONAL, "zh-TW").status == "scored"
    assert (
        verdict(TEXTS["zh"], "zh-TW").reason == "in other characters than asked for: Chinese (traditional characters)"
    )
    assert sides("汉字與") == (1, 1)  # 字 is on both sides


def test_a_script_subtag_asks_for_that_script():
    latin = "Svako jutro sunce izlazi na istoku, a djeca posle doručka idu peške u školu sa svojim drugovima."
    cyrillic = "Свако јутро сунце излази на истоку, а деца после доручка иду пешке у школу са својим друговима."
    assert (
        verdict(latin, "sr-Latn").status
        == verdict(cyrillic, "sr").status
        == verdict(cyrillic, "sr-Cyrl").status
        == "scored"
    )
    assert verdict(latin, "sr").details["wrong_script"] == verdict(cyrillic, "sr-Latn").details["wrong_script"] == 1


def test_what_cannot_be_judged_gets_an_abstention_without_details():
    assert verdict(TEXTS["en"], "und") == Verdict.abstain("the prompt's language is not known")
    for unknown in ("xh", "sr-Tfng"):
        assert verdict(TEXTS["en"], unknown) == Verdict.abstain(f"the identifier does not know '{unknown}'")


def test_the_expected_language_may_be_another_one():
    assert verdict(TEXTS["de"], "en", expected={"en": "de"}).status == "scored"
    assert verdict(TEXTS["en"], "en", expected={"en": "de"}).reason == "in English, asked for German"
    assert verdict(TEXTS["en"], "fr", expected={"en": "de"}).reason == "in English, asked for French"


def test_a_column_of_the_prompt_goes_before_the_mapping():
    options = {"expected": {"en": "de"}, "expected_column": "target"}
    assert judge(TEXTS["tr"], meta={"target": "tr"}, **options)[0].status == "scored"
    assert judge(TEXTS["de"], meta={"topic": "sun"}, **options)[0].status == "scored"


def test_a_column_that_holds_no_language_is_a_failure_of_each_answer():
    (found,) = judge(TEXTS["tr"], meta={"target": "turkce"}, expected_column="target")
    assert (found.status, found.reason.startswith("the prompt's `target`: unknown language code")) == ("failed", True)


def test_expected_languages_are_checked_with_the_recipe():
    with pytest.raises(ValidationError, match="unknown language code 'deutsch'"):
        Language(expected={"en": "deutsch"})


@given(st.text(), st.sampled_from([*LANGUAGES, "zh-Hant", "sr-Latn"]))
@settings(deadline=None)
def test_any_text_gets_a_verdict(text: str, language: str):
    found = verdict(text, language)
    assert found.status in ("scored", "abstained")
    assert found.score is None or 0.5 <= found.score <= 1


def test_amounts_of_money_are_no_formula():
    assert prose("It costs $5 to $7 a day") == "It costs $5 to $7 a day"
    assert "sum" not in prose("so $sum_i x_i$ holds")


def test_lists_that_end_in_semicolons_are_no_code():
    text = "the right (as in article 2) to rest;\nfreedom of thought;"
    assert prose(text) == text
    assert prose("x = compute(y);\nreturn x;\nfrom os import path").split() == []


def test_pieces_hold_all_of_a_text_in_its_order():
    text = " ".join(TEXTS.values())
    joined = "".join("".join(pieces(text, 60)).split())
    assert [c for c in joined if c.isalpha()] == [c for c in text if c.isalpha()]
    assert all(len(piece) >= 60 for piece in pieces(text, 60)[:-1] if piece not in TEXTS.values())


def test_every_one_of_the_languages_has_a_label_and_a_script():
    assert set(LANGUAGES) <= LABELS
    assert {script_of(language) for language in LANGUAGES} == {
        "Latn", "Grek", "Cyrl", "Hebr", "Arab", "Deva", "Hani", "Jpan", "Kore"
    }  # fmt: skip


def test_the_model_names_no_language_that_is_not_listed():
    identify = Identifier()
    assert {identify(text).label for text in TEXTS.values()} == set(LANGUAGES)
    assert {label["lang"] for label in identify._detect("a", model="lite", k=200)} <= LABELS


def test_few_real_sentences_are_refused_in_their_language_and_almost_none_pass_in_another(shared_data):
    """Measured on more of them: docs/language-identification.md. Five sentences make an answer."""
    draw = random.Random(0)
    right, wrong = [], []
    for path in sorted((shared_data / "common_voice").glob("*.txt")):
        language = path.stem[:2]
        sentences = [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 15]
        answers = [" ".join(draw.sample(sentences, 5)) for _ in range(40)]
        for asked in (language, *draw.sample([other for other in LANGUAGES if other != language], 4)):
            case = Case(user_prompt("p", asked, "?"), tuple(Completion("p", "t", n, a) for n, a in enumerate(answers)))
            (verdicts,) = built().judge([case])
            (right if asked == language else wrong).extend(found.status == "scored" for found in verdicts)
    assert len(right) == 23 * 40
    assert sum(right) / len(right) > 0.99
    assert sum(wrong) / len(wrong) < 0.01


@pytest.mark.parametrize(("name", "most"), [("zh_hans", 0.03), ("zh_hant", 0.01)])
def test_real_chinese_is_on_the_side_that_its_source_says(shared_data, name: str, most: float):
    lines = (shared_data / "common_voice" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    counts = [sides(line) for line in lines]
    other = [
        traditional > simplified if name == "zh_hans" else simplified > traditional
        for simplified, traditional in counts
    ]
    assert sum(other) / len(other) < most
