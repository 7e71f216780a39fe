"""MGSM: the harness's prompts, and its judgment of what comes back, item by item."""

import json

import harness
import pytest
from hypothesis import given, settings, strategies as st
from lm_eval.api.instance import Instance

from aya_core.api import Completion, DataError, EvaluatedModel, Replies
from aya_plugins.benchmarks.mgsm import WORDINGS, flexible, is_same, means
from aya_plugins.evaluators.mgsm import Mgsm

LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")

# Labels as MGSM publishes them, which in ja, ru and zh are not those that the harness expects.
LABELS = {
    **{language: (wording.question, wording.answer + " ") for language, wording in WORDINGS.items()},
    "ja": ("問題：", "ステップごとの答え："), "zh": ("问题：", "逐步解答："), "ru": ("Задача:", "Пошаговое решение: "),
}  # fmt: skip

GOLDS = ["18", "3", "70000", "5,600", "2.5", "-4", "0"]

RESULTS = {
    "bn": "উত্তর হল {}।", "de": "Die Antwort lautet {}.", "en": "The answer is {}.", "es": "La respuesta es {}.",
    "fr": "La réponse est {}.", "ja": "答えは{}です。", "ru": "Ответ — {}.", "sw": "Jibu ni {}.", "te": "సమాధానం {}.",
    "th": "คำตอบคือ {}", "zh": "答案是 {}。",
}  # fmt: skip

TRAPS = [
    "", " ", "{result}", "{result} {result2}", "{result2} Or no: {result}", "5 + 13 = 18", "5+13=18. {result}\n\n{result2}",
    "THE ANSWER IS 18", "the answer is $18.", "The answer is: 18", "The answer is 18 dollars", "The answer is 70.000,00",
    "The answer is 70,000. So 3!", "... , $ .", "18 %", "$18", "$1,8", "-18-", "--3", "٣ و ١٨", "১৮", "๑๘", "１８", "18\u00a0000", "70 000",
    "1e3",
    "答えは 18です。", "答えは18 です。", "答えは18です", "答案是18。", "答案是 18", "Ответ - 18.", "Ответ — 18", "Ответ —18",
    "Die Antwort ist 18.",
    "The answer is \\boxed{{18}}", "#### 18", "{result}\nQuestion: 1 + 1?\nThe answer is 2.", "The answer is .", "The answer is -.5",
    "The answer is 1.8.", "The answer is \u2212 4", "The answer is 5600", "x\x00 18\x00", "18.\u0663",
]  # fmt: skip


PARTS = [
    "0", "1", "3", "8", "18", ".", ",", "-", "$", "\n", "।", " ", "Ответ — ", "答えは", "です。", "The answer is ", "答案是 ", "。", "٣",
]  # fmt: skip


def exemplars(language):
    question, answer = LABELS[language]
    result = RESULTS[language]
    return [
        {"q": f"{question} {number} + {number}?", "a": f"{answer}Étape {number}. {result.format(2 * number)}"}
        for number in range(1, 9)
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """MGSM's folder in all of its languages: two columns without a header, and exemplars.py."""
    folder = tmp_path_factory.mktemp("mgsm")
    for language in LANGUAGES:
        lines = [f'{language} "{number}"?\t{gold}\n' for number, gold in enumerate(GOLDS)]
        (folder / f"mgsm_{language}.tsv").write_text("".join(lines), encoding="utf-8")
    table = {language: {str(n): one for n, one in enumerate(exemplars(language), start=1)} for language in LANGUAGES}
    code = f"import os\n\nEXEMPLAR_NUMBER_ANSWERS = [11, 29]\n\nMGSM_EXEMPLARS = {table!r}\nos.abort()\n"
    (folder / "exemplars.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def task():
    """The harness's task of a language, with the hub's columns."""
    made = {}

    def make(language):
        if language not in made:
            number = {"answer_number": 0, "equation_solution": ""}
            train = [{"question": one["q"], "answer": one["a"], **number} for one in exemplars(language)]
            test = [
                {"question": f'{language} "{n}"?', "answer": None, "answer_number": gold.replace(",", "")}
                for n, gold in enumerate(GOLDS)
            ]
            made[language] = harness.task(f"mgsm/native_cot/mgsm_native_cot_{language}.yaml", train=train, test=test)
        made[language].set_fewshot_seed(1234)
        return made[language]

    return make


def asked(**options):
    return list(Mgsm(**options).build().requests())


def judged(strategy, text_of, finish_reason="stop"):
    """What an evaluator says of answers: by metric, the value of each row."""
    evaluator = strategy.build()
    replied = {}
    for request in evaluator.requests():
        text = text_of(request.prompt)
        if text is not None:
            replied[request.prompt.id] = [Completion(request.prompt.id, "m", 0, text, finish_reason=finish_reason)]
    found = {}
    for row in evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies(completions=replied))):
        found.setdefault(row.metric, {})[row.prompt_id] = row.value
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_prompts_are_those_of_the_harness(published, task, language):
    made = task(language)
    for shots, chat in ((5, False), (8, True), (0, False)):
        made.set_fewshot_seed(1234)
        prompting = "chat" if chat else "text"
        ours = asked(data=str(published), languages=(language,), shots=shots, prompting=prompting)
        assert len(ours) == len(GOLDS)
        for request, doc in zip(ours, made.eval_docs, strict=True):
            output = made.fewshot_context(
                doc, shots, apply_chat_template=chat, fewshot_as_multiturn=chat,
                chat_template=(lambda messages, **_: json.dumps(messages)) if chat else None,
            )  # fmt: skip
            expected = json.loads(output) if chat else [{"role": "user", "content": output}]
            assert list(request.prompt.messages) == expected
            assert request.sampling.stop == tuple(made.config.generation_kwargs["until"])
            assert request.sampling.temperature == 0


def official(made, doc, text):
    """What the harness says of an answer, by filter."""
    instance = Instance("generate_until", doc, ("", {}), 0, resps=[text])
    found = {}
    for ensemble in made._filters:
        ensemble.apply([instance])
        value = made.process_results(doc, [instance.filtered_resps[ensemble.name]])["exact_match"]
        found[ensemble.name] = bool(value)
    return found


def ours(language, text, gold):
    return {
        "strict-match": is_same(WORDINGS[language].strict(text), gold),
        "flexible-extract": is_same(flexible(text), gold),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_are_judged_as_by_the_harness(task, language):
    made = task(language)
    docs = list(made.eval_docs)
    counts = {"strict-match": 0, "flexible-extract": 0}
    numbers = ("{gold}", "70,000", "18", "{gold}.", "${gold}", "3.0", "০৫")
    for place, trap in enumerate(TRAPS):
        gold = GOLDS[place % len(GOLDS)]
        number = numbers[place // 2 % len(numbers)].format(gold=gold)
        results = {"result": RESULTS[language].format(number), "result2": WORDINGS[language].result.replace("#", "18")}
        text = trap.format(**results)
        expected = official(made, docs[place % len(GOLDS)], text)
        assert ours(language, text, gold) == expected, text
        counts = {name: counts[name] + expected[name] for name in counts}
    assert counts["flexible-extract"]


def test_the_words_for_results_find_them(task):
    for language in LANGUAGES:
        text = WORDINGS[language].result.replace("#", "18")
        assert official(task(language), task(language).eval_docs[0], text) == {
            "strict-match": True,
            "flexible-extract": True,
        }


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(LANGUAGES),
    st.lists(st.sampled_from(PARTS)),
    st.sampled_from(range(len(GOLDS))),
)  # fmt: skip
def test_any_mixture_is_judged_as_by_the_harness(task, language, parts, place):
    made = task(language)
    text = "".join(parts)
    assert ours(language, text, GOLDS[place]) == official(made, made.eval_docs[place], text)


def test_numbers_in_other_digits_count_by_value():
    assert means("১৮", "18")
    assert means("Das macht 5.600 Euro.", "5,600")
    assert means("It is 3.0.", "3")
    assert not means("It is 30.", "3")
    assert not means("", "3")


def test_scores_are_shares_of_all_rows_and_what_is_missing_is_wrong(published):
    replied = dict(zip(GOLDS, ["The answer is 18.", "It is 3", None, "", "The answer is 2.5", "১২", "0."], strict=True))
    found = judged(Mgsm(data=str(published), languages=("en",)), lambda prompt: replied[prompt.reference], "length")
    values = {metric: list(rows.values()) for metric, rows in found.items()}
    assert values["exact_match"] == [1, 0, 0, 0, 1, 0, 0]
    assert values["exact_match/flexible"] == [1, 1, 0, 0, 1, 0, 1]
    assert values["exact_match/number"] == [1, 1, 0, 0, 1, 0, 1]
    assert values["unanswered"] == [0, 0, 1, 0, 0, 0, 0]
    assert values["unread"] == [0, 1, 1, 0, 1, 1]
    assert values["cut_short"] == [1] * 6


def test_rows_of_the_hub_and_their_examples_are_read(tmp_path):
    (tmp_path / "ru").mkdir()
    train = [{"question": one["q"], "answer": one["a"], "answer_number": 2} for one in exemplars("ru")]
    test = [{"question": "Сколько?", "answer": None, "answer_number": 7, "equation_solution": None}]
    for split, rows in (("train", train), ("test", test)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "ru" / f"{split}-00000-of-00001.jsonl").write_text(lines)
    (request,) = asked(data=str(tmp_path), shots=2)
    assert (request.prompt.language, request.prompt.reference) == ("ru", "7")
    assert len(request.prompt.messages) == 5
    assert request.prompt.messages[1]["content"].startswith(" Étape")


def test_the_published_examples_are_used_for_all_languages(shared_data):
    folder = shared_data / "mgsm"
    for request in asked(data=str(folder), shots=8):
        questions = [turn["content"] for turn in request.prompt.messages if turn["role"] == "user"]
        opening = WORDINGS[request.prompt.language].question
        assert len(questions) == 9
        assert all(question.startswith(opening) for question in questions)
    example = Mgsm(data=str(folder / "mgsm_fr.tsv"), exemplars=str(folder / "exemplars.json"), shots=1)
    assert len(list(example.build().requests())) == 250


def test_problems_without_examples_say_where_to_get_them(published, tmp_path):
    (tmp_path / "mgsm_de.tsv").write_text("Wie viel?\t3\n")
    with pytest.raises(DataError, match=r"0 examples in 'de', but shots is 5; .*url-nlp"):
        asked(data=str(tmp_path / "mgsm_de.tsv"))
    (tmp_path / "exemplars.py").write_text("MGSM_EXEMPLARS = {'de': [1]}")
    with pytest.raises(DataError, match="expected MGSM_EXEMPLARS as MGSM publishes it"):
        asked(data=str(tmp_path))
    (tmp_path / "exemplars.py").write_text("MGSM_EXEMPLARS = open('x')")
    with pytest.raises(DataError, match="cannot be read"):
        asked(data=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [("mgsm_de.tsv", "Wie viel?\tdrei", "expected a number"), ("mgsm_it.tsv", "Quanto?\t3", "language 'it'; MGSM has")],
)
def test_rows_that_cannot_be_scored_are_refused(tmp_path, name, line, message):
    (tmp_path / name).write_text(f"{line}\n")
    with pytest.raises(DataError, match=message):
        asked(data=str(tmp_path), shots=0)
