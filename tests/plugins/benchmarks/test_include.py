"""INCLUDE: instructions in 44 languages, and letters read from answers in all of them."""

import json
import unicodedata

import pytest
from hypothesis import given, strategies as st

from aya_core.api import Completion, DataError, EvaluatedModel, Replies
from aya_plugins.benchmarks.include_wordings import WORDINGS, instruction
from aya_plugins.benchmarks.letters import option_named
from aya_plugins.evaluators.include import Include
from aya_plugins.language_id.scripts import foreign, script_of

PUBLISHED = [
    *"""Albanian Arabic Armenian Azerbaijani Basque Belarusian Bengali Bulgarian Chinese Croatian Dutch Estonian Finnish French Georgian
    German Greek Hebrew Hindi Hungarian Indonesian Italian Japanese Kazakh Korean Lithuanian Malay Malayalam Nepali Persian Polish
    Portuguese Russian Serbian Spanish Tagalog Tamil Telugu Turkish Ukrainian Urdu Uzbek Vietnamese""".split(),  # noqa: SIM905
    "North Macedonian",
]

ROW = {
    "question": " Which? ", "option_a": "one", "option_b": "two", "option_c": "three", "option_d": "four", "answer": 1, "country": "X",
    "domain": "Arts & Humanities", "subject": "History", "regional_feature": "Cultural", "level": "Academic",
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """Write rows as the hub's files are laid out, a folder a language, and return the folder."""

    def write(rows, language="Albanian"):
        (tmp_path / language).mkdir(exist_ok=True)
        text = "".join(json.dumps({**ROW, "language": language, **row}) + "\n" for row in rows)
        (tmp_path / language / "test-00000-of-00001.jsonl").write_text(text)
        return str(tmp_path)

    return write


def scored(strategy, text_of, finish_reason="stop"):
    evaluator = strategy.build()
    replied = {}
    for request in evaluator.requests():
        if (text := text_of(request.prompt)) is not None:
            replied[request.prompt.id] = [Completion(request.prompt.id, "m", 0, text, finish_reason=finish_reason)]
    found = {}
    for row in evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies(completions=replied))):
        found.setdefault(row.metric, []).append(row.value)
    return found


def test_a_question_is_asked_in_its_language_with_its_options(written):
    (request,) = Include(data=written([{}])).build().requests()
    assert request.prompt.language == "sq"
    assert request.prompt.text.startswith("Përgjigjju pyetjes")
    assert request.prompt.text.endswith("\n\nWhich?\nA. one\nB. two\nC. three\nD. four")
    assert (request.prompt.reference, request.sampling.temperature, request.sampling.prompting) == ("B", 0, "chat")


def test_every_published_language_has_an_instruction_of_its_own(written):
    for name in PUBLISHED:
        folder = written([{}], name)
    asked = list(Include(data=folder).build().requests())
    assert {request.prompt.language for request in asked} == set(WORDINGS)
    assert len(PUBLISHED) == len(WORDINGS) == 44 == len({output for _, output in WORDINGS.values()})


@pytest.mark.parametrize("language", sorted(WORDINGS))
def test_an_instruction_is_in_its_script_and_says_how_the_answer_ends(language):
    word, output = WORDINGS[language]
    letters = [letter for letter in output if letter.isalpha()]
    strangers = "".join(foreign(script_of(language)).findall(output))
    assert set(strangers) <= set("XABCD")
    assert f"{word}:" in output or f"{word}：" in output or f"{word}՝" in output or f"{word} :" in output
    assert len(strangers) < len(letters) / 5
    assert all(f"{letter}" in output for letter in "ABCD")


def test_another_language_is_asked_in_english():
    assert "step by step in Swahili. In the last line write “Answer: X”" in instruction("sw")


@pytest.mark.parametrize("language", sorted(WORDINGS))
def test_the_letter_asked_for_is_read_however_it_is_marked(language):
    word, output = WORDINGS[language]
    assert option_named(output) is None
    for letter, other in zip("ABCD", "BCDA", strict=True):
        before = f"{word}: {other}?\n{other}. x\n"
        for line in (
            f"{word}: {letter}", f"{word}：{letter}", f"**{word}: {letter}**", f"**{word}:** {letter}.", f"{word} : ({letter}) x", letter,
            f"{word}: {letter}) one", f"{word}: $\\boxed{{{letter}}}$", f"\u200f{word}\u200e: {letter}\u200f", f"{word}:\n**{letter}**",
            f"({letter})",
            f"{word}: {letter.lower()}", unicodedata.normalize("NFD", f"{word}: {letter}"),
        ):  # fmt: skip
            assert option_named(before + line) == letter, line
        assert option_named(f"{word}: {letter} / {other}") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Ответ: В", "B"), ("Ответ: в", "B"), ("Ответ: в Париже", None), ("Правильный ответ — C.", "C"), ("الإجابة: ب", "B"),
        ("پاسخ: ج)", "C"), ("उत्तर: ख", "B"), ("উত্তর: গ", "C"), ("Απάντηση: Γ", "C"), ("תשובה: ד", "D"), ("答え：ウ", "C"),
        ("回答：B", "B"), ("정답: ④", "D"),
        ("정답은 B입니다.", "B"), ("答案是 C。", "C"), ("答案：Ｂ", "B"), ("답: 다", "C"), ("答案：丙。", "C"), ("Պատասխան՝ Բ", "B"),
        ("సమాధానం: బి", "B"),
        ("The correct answer is B, as C is wrong.", None), ("The answer is B.", "B"), ("The answer is the second.", None),
        ("La respuesta correcta es la opción D.", "D"), ("Answer: A group of lions", None), ("Answer: Option C", "C"),
        ("answer: a good one", None), ("Answer: A or B", None), ("Answer: E", None), ("Answer: Budapest", None),
        ("Answer: D'Artagnan", None),
        ("It is B, I think", None), ("A. one\nB. two\nC. three", None), ("Two of them.\n\nB. two", "B"), ("B) two", "B"), ("b", "B"),
        ("So:\n\\boxed{\\text{C}}", "C"), ("Answer: A\nNo, wait.\nAnswer: B", "B"), ("Answer: A. Is that it?\nLet us see.", "A"),
        ("", None), ("   \n", None), ("7", None), ("ب", "B"),
    ],
)  # fmt: skip
def test_letters_are_read_where_they_are_stated_and_not_guessed(text, letter):
    assert option_named(text) == letter


def test_capitals_in_options_are_not_taken_for_letters():
    assert option_named("The answer is vitamin C.", ["vitamin A", "vitamin B", "vitamin C", "iron"]) is None
    assert option_named("The answer is vitamin C.\nAnswer: D", ["vitamin A", "vitamin B", "iron", "vitamin C"]) == "D"


@given(st.text(st.sampled_from("ABCDabcd:. \n*()答案应Ответ٪\\boxed{}"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_not(text):
    assert option_named(text) in ("A", "B", "C", "D", None)


def test_accuracy_counts_all_questions_and_domains(written):
    rows = [{"answer": place, "domain": domain} for place, domain in enumerate(["STEM", "STEM", "Health", "Health"])]
    replied = {"A": "Përgjigjja: A", "B": "Përgjigjja: C", "C": "I do not know", "D": None}
    found = scored(Include(data=written(rows)), lambda prompt: replied[prompt.reference], "length")
    assert found == {
        "accuracy": [1, 0, 0, 0], "accuracy/STEM": [1, 0], "accuracy/Health": [0, 0], "unanswered": [0, 0, 0, 1],
        "unread": [0, 0, 1], "cut_short": [1, 1, 1],
    }  # fmt: skip


def test_options_may_be_numbers_and_answers_letters(written):
    row = {"option_a": 1, "option_b": 2.5, "answer": "C"}
    (request,) = Include(data=written([row])).build().requests()
    assert "A. 1\nB. 2.5\n" in request.prompt.text
    assert request.prompt.reference == "C"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": None}, "answer: 'None'; expected 0, 1, 2 or 3"), ({"answer": 4}, "answer: '4'"), ({"answer": "AB"}, "answer: 'AB'"),
        ({"option_d": None}, "option_d: missing"), ({"question": ""}, "question: ''"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_scored_are_refused_with_their_place(written, row, message):
    with pytest.raises(DataError, match=rf"test-00000-of-00001.jsonl:2: {message}"):
        list(Include(data=written([{}, row])).build().requests())


def test_a_missing_file_says_where_to_get_it():
    with pytest.raises(DataError, match=r"include-base-44; license: Apache-2.0"):
        list(Include(data="nowhere").build().requests())
