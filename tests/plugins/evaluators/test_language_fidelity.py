"""Language fidelity: in which language answers are, line by line and word by word."""

import string

import pytest

from aya_core.api import LANGUAGES, Completion, DataError, EvaluatedModel, Prompt, user_prompt
from aya_plugins.evaluators.language_fidelity import LanguageFidelity
from aya_plugins.language_id.confusion import english_words, has_words, tokens
from aya_plugins.language_id.identifier import Identifier

RU = "Каждое утро солнце встаёт на востоке, и дети после завтрака идут в школу."
FR = "Chaque matin, le soleil se lève à l'est et les enfants vont à pied à l'école."
EN = "Every morning the sun rises in the east, and the children walk to school."
ZH = "每天早上太阳从东方升起，孩子们和家人一起吃过早饭以后，就走路去学校上课。"
JA = "毎朝、太陽は東から昇り、子どもたちは家族と朝ごはんを食べたあとで、歩いて学校へ行きます。"
TH = "ทุกเช้าพระอาทิตย์ขึ้นทางทิศตะวันออก และเด็กๆ เดินไปโรงเรียนหลังจากกินอาหารเช้า"


@pytest.fixture(scope="module")
def measured():
    """What is said of one answer, by metric."""
    built = {}

    def measure(text, language, meta=None, **settings):
        key = tuple(sorted((name, str(value)) for name, value in settings.items()))
        evaluator = built.setdefault(key, LanguageFidelity(**settings).build())
        prompt = user_prompt("p", language, "?", meta=meta)
        other = user_prompt("other", "fr", "?")
        answers = [Completion("p", "m", 0, text), Completion("other", "m", 0, FR)]
        rows = evaluator.evaluate(EvaluatedModel("m", [prompt, other], answers, [], lambda pairs: []))
        return {row.metric: row.value for row in rows if row.prompt_id == "p"}

    return measure


def test_an_answer_in_the_language_passes_everywhere(measured):
    found = measured(f"{RU}\n\n{RU}", "ru")
    assert found == {
        "not_covered": 0, "empty": 0, "undetermined": 0, "in_language": 1, "words_not_covered": 0, "line_pass_rate": 1,
        "line_accuracy": 1, "word_pass_rate": 1,
    }  # fmt: skip


def test_one_wrong_line_fails_the_answer_and_its_words_are_not_looked_at(measured):
    found = measured(f"{RU}\n{RU}\n{EN}\n{RU}", "ru")
    assert found["in_language"] == 1
    assert found["line_pass_rate"] == 0
    assert found["line_accuracy"] == 0.75
    assert "word_pass_rate" not in found


@pytest.mark.parametrize(
    ("text", "language", "passes"),
    [
        (RU.replace("солнце", "sunshine"), "ru", False),
        (RU.replace("солнце", "Sunshine"), "ru", True),
        (RU.replace("солнце", "sun"), "ru", True),
        (RU.replace("солнце", "NATO"), "ru", True),
        (ZH.replace("太阳", "sunshine"), "zh", False),
        (JA.replace("太陽", "Sun"), "ja", True),
        (JA.replace("太陽", "sunshine"), "ja", False),
        (TH.replace("พระอาทิตย์", "sunshine"), "th", False),
    ],
)
def test_english_words_in_small_letters_fail_a_line_of_another_script(measured, text, language, passes):
    assert measured(text, language)["word_pass_rate"] == passes


def test_a_list_says_which_words_are_english(measured, tmp_path):
    (tmp_path / "words").write_text("sunshine\nRiga\nsun\n")
    words = str(tmp_path / "words")
    assert measured(RU.replace("солнце", "sunshine"), "ru", words=words)["word_pass_rate"] == 0
    assert measured(RU.replace("солнце", "soleil"), "ru", words=words)["word_pass_rate"] == 1
    assert measured(RU.replace("солнце", "soleil"), "ru")["word_pass_rate"] == 0
    (tmp_path / "words").write_text("Riga\nsun\n")
    with pytest.raises(DataError, match="no word in small letters"):
        LanguageFidelity(words=words).build()


def test_words_are_not_guessed_in_latin_script(measured):
    found = measured(FR, "fr")
    assert found["words_not_covered"] == 1
    assert found["line_pass_rate"] == 1
    assert "word_pass_rate" not in found
    assert {code for code in LANGUAGES if has_words(code)} == {
        "ar",
        "el",
        "fa",
        "he",
        "hi",
        "ja",
        "ko",
        "ru",
        "uk",
        "zh",
    }
    assert not has_words("sr-Latn")


@pytest.mark.parametrize("language", ["und", "yap", "xx"])
def test_languages_that_cannot_be_identified_are_counted_and_in_no_measure(measured, language):
    assert measured(FR, language) == {"not_covered": 1}


def test_short_lines_and_short_answers_are_not_judged(measured):
    found = measured("Oui.\nNon, merci.", "ru")
    assert (found["undetermined"], "in_language" in found, "line_pass_rate" in found) == (1, False, False)
    assert "line_pass_rate" not in measured("1 2 3 4 5 6 7", "fr")
    assert measured(f"Oui.\n{FR}\nYes, it is.\n", "fr")["line_pass_rate"] == 1


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_answer_is_not_in_the_language(measured, text):
    assert measured(text, "fr") == {"not_covered": 0, "empty": 1, "in_language": 0}


def test_the_answer_s_language_may_be_another_than_the_prompt_s(measured):
    assert measured(FR, "en", expected={"en": "fr"})["in_language"] == 1
    assert measured(EN, "en", expected={"en": "fr"})["in_language"] == 0
    found = measured(RU, "en", expected_column="to", meta={"to": "ru"})
    assert (found["line_pass_rate"], found["words_not_covered"]) == (1, 0)
    with pytest.raises(DataError, match="prompt 'p': its column 'to'"):
        measured(RU, "en", expected_column="to", meta={"to": "Russkij"})


def alone(text, language):
    evaluated = EvaluatedModel(
        "m", [user_prompt("p", language, "?")], [Completion("p", "m", 0, text)], [], lambda pairs: []
    )
    return {row.metric: row.value for row in LanguageFidelity().build().evaluate(evaluated)}


def test_a_model_that_writes_no_text_at_all_is_in_no_language():
    assert alone("7 7 7", "en")["in_language"] == 0
    assert alone("7 7 7", "en")["undetermined"] == 1


def test_languages_that_are_all_unknown_are_an_error():
    with pytest.raises(DataError, match=r"knows none of the languages .* among yap"):
        alone(EN, "yap")


def test_words_between_spaces_and_words_without():
    assert tokens("a bc 12") == ["a", "bc", "12"]
    assert tokens("我们 use它们吧") == ["我们", "use", "它们", "吧"]
    assert english_words("школе school's schoolы Café café naïve") == []
    assert english_words("我们go学校school吧") == ["school"]


def published(identifier, completions, lang, words):
    """The benchmark's metrics in words of our own, for languages that put spaces between words."""
    skipped = lines_failed = words_failed = 0
    for completion in completions:
        text = completion.strip()
        for mark in string.punctuation + "،":
            text = text.replace(mark, "")
        lines = [line for line in text.replace("—", " ").split("\n") if len(line.split()) >= 5]
        if not lines:
            skipped += 1
        elif any(found.label != lang or not found.probability > 0.3 for found in map(identifier, lines)):
            lines_failed += 1
        else:
            words_failed += any(word in words for line in lines for word in line.split())
    judged = len(completions) - skipped
    return 1 - lines_failed / judged, 1 - words_failed / (judged - lines_failed)


@pytest.mark.parametrize("language", ["hi", "ko", "ru"])
def test_rates_are_those_of_the_language_confusion_benchmark(shared_data, tmp_path, language):
    lines = {
        code: (shared_data / "udhr" / f"{code}.txt").read_text(encoding="utf-8").splitlines()
        for code in (language, "en")
    }
    (tmp_path / "words").write_text("\n".join(sorted({w.strip(",.;") for line in lines["en"] for w in line.split()})))
    words = {word for word in (tmp_path / "words").read_text().split("\n") if word.islower() and len(word) > 3}
    completions = []
    for place, line in enumerate(lines[language]):
        extra = (
            "",
            f"\n{lines['en'][place % len(lines['en'])]}",
            " human rights",
            " Human",
            "\n(1)",
            " — rights, and",
        )[place % 6]
        completions.append(line + extra)
    prompts = [Prompt(str(n), language, ({"role": "user", "content": "?"},)) for n in range(len(completions))]
    answers = [Completion(str(n), "m", 0, text) for n, text in enumerate(completions)]
    rows = list(
        LanguageFidelity(words=str(tmp_path / "words"))
        .build()
        .evaluate(EvaluatedModel("m", prompts, answers, [], lambda p: []))
    )
    rates = [[row.value for row in rows if row.metric == f"{unit}_pass_rate"] for unit in ("line", "word")]
    line, word = published(Identifier(), completions, language, words)
    assert 0 < word < 1
    assert 0 < line < 1
    assert [sum(values) / len(values) for values in rates] == pytest.approx([line, word])
