"""Multiple-choice evaluators: what they ask of rows as they are published, and how they score the replies."""

import csv
import io
import json
import math
from collections import defaultdict

import pytest

from aya_core.api import DataError, EvaluatedModel, LogLikelihood, Replies
from aya_plugins.evaluators.global_mmlu import GlobalMmlu
from aya_plugins.evaluators.multiple_choice import MultipleChoice
from aya_plugins.evaluators.xcopa import CONNECTORS, Xcopa
from aya_plugins.evaluators.xstorycloze import Xstorycloze
from aya_plugins.evaluators.xwinograd import Xwinograd

REVISION = "0" * 40
COPA = {
    "premise": "The tap ran. ",
    "choice1": "Water flowed.",
    "choice2": "It broke.",
    "question": "effect",
    "label": 0,
}
HUB_SCHEMA = {"sentence": "It is big, for _ is small.", "option1": "the cup", "option2": "the bag", "answer": "2"}
STORY = {
    **{f"input_sentence_{i}": f"Sentence {i}." for i in range(1, 5)}, "sentence_quiz1": "Good.", "sentence_quiz2": "Bad.",
    "answer_right_ending": 1,
}  # fmt: skip
EXAM = {
    "sample_id": "a/test/0", "subject": "anatomy", "subject_category": "STEM", "question": " Which? ", "option_a": "1",
    "option_b": "2", "option_c": "3", "option_d": "4", "answer": "B", "cultural_sensitivity_label": "CS",
}  # fmt: skip


@pytest.fixture
def jsonl(tmp_path):
    """Write rows, and return their file."""

    def write(rows, name="test.it.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    return write


def asked(strategy):
    return list(strategy.build().requests())


def scores(strategy, likes):
    """Means by metric, of a model that gives what `likes` says to a request's continuations."""
    evaluator = strategy.build()
    replied = {request.id: likes(request) for request in evaluator.requests()}
    found = defaultdict(list)
    for row in evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies(replied))):
        found[row.metric].append(row.value)
    return {metric: sum(values) / len(values) for metric, values in found.items()}


def likes_first(request):
    return [LogLikelihood(-float(place), 1) for place in range(len(request.continuations))]


@pytest.mark.parametrize(
    ("strategy", "row", "name", "item"),
    [
        (Xcopa, {**COPA, "idx": 7}, "test.it.jsonl", "7"),
        (Xcopa, COPA, "test.it.jsonl", None),
        (Xstorycloze, {**STORY, "InputStoryid": "s-1"}, "eval.eu.jsonl", "s-1"),
        (Xwinograd, {**HUB_SCHEMA, "id": 3}, "fr.jsonl", None),
        (lambda data: GlobalMmlu(data=data, shots=0), EXAM, "de/test.jsonl", "a/test/0"),
    ],
)
def test_rows_say_which_item_of_the_set_they_are(jsonl, strategy, row, name, item):
    evaluator = strategy(data=jsonl([row], name)).build()
    replied = {request.id: likes_first(request) for request in evaluator.requests()}
    rows = list(evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies(replied))))
    assert rows
    assert {one.item for one in rows} == {item}


def test_xcopa_asks_for_a_lower_cased_choice_after_the_connector(jsonl):
    (request,) = asked(Xcopa(data=jsonl([COPA])))
    assert request.language == "it"
    assert request.continuations == (("The tap ran quindi", " water flowed."), ("The tap ran quindi", " it broke."))
    assert len(CONNECTORS) == 11


def test_xstorycloze_asks_for_an_end_after_four_sentences(jsonl):
    (request,) = asked(Xstorycloze(data=jsonl([STORY], "eval.eu.jsonl")))
    story = "Sentence 1. Sentence 2. Sentence 3. Sentence 4."
    assert request.continuations == ((story, " Good."), (story, " Bad."))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (HUB_SCHEMA, "jp.jsonl"),
        ({"sentence_blank": HUB_SCHEMA["sentence"], "options": ["the cup", "the bag"], "answer": 1}, "jp.jsonl"),
    ],
)
def test_xwinograd_asks_for_the_same_rest_after_each_option(jsonl, row, name):
    strategy = Xwinograd(data=jsonl([row], name))
    (request,) = asked(strategy)
    assert request.language == "ja"
    assert request.continuations == (
        ("It is big, for the cup", " is small."),
        ("It is big, for the bag", " is small."),
    )
    assert scores(strategy, likes_first)["accuracy"] == 0


def test_xwinograd_finds_the_pronoun_in_the_first_edition(tmp_path):
    """Two rows of its dataset.tsv: a quote that the tokens write otherwise, and no spaces between words."""
    rows = [
        ["pt", "original", "?", 'Ele disse "ela" e ela saiu.', ["Ele", "disse", "``", "ela", "''", "e", "ela", "saiu", "."],
         ["ela", [6, 7], ["ela"]], [["Ana", [0, 1], ["Ana"], False], ["Eva", [1, 2], ["Eva"], True]]],
        ["jp", "test", "?", "教授は彼が", ["教授", "は", "彼", "が"], ["彼", [2, 3], ["彼"]],
         [["教授", [0, 1], ["教授"], True], ["学生", [1, 2], ["学生"], False]]],
    ]  # fmt: skip
    lines = ["\t".join(cell if isinstance(cell, str) else json.dumps(cell) for cell in row) for row in rows]
    (tmp_path / "dataset.tsv").write_text("\n".join(lines) + "\n")
    strategy = Xwinograd(data=str(tmp_path / "dataset.tsv"))
    first, second = asked(strategy)
    assert first.continuations == (('Ele disse "ela" e Ana', " saiu."), ('Ele disse "ela" e Eva', " saiu."))
    assert second.continuations == (("教授は教授", " が"), ("教授は学生", " が"))
    assert scores(strategy, likes_first)["accuracy"] == 0.5


def test_global_mmlu_asks_for_a_letter_after_the_first_rows_of_dev(jsonl, tmp_path):
    jsonl([{**EXAM, "question": f"Shot {n}?", "answer": "D"} for n in range(3)], "de/dev.jsonl")
    jsonl([EXAM], "de/test.jsonl")
    (request,) = asked(GlobalMmlu(data=str(tmp_path), shots=2))
    options = "\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    context = f"Shot 0?{options} D\n\nShot 1?{options} D\n\nWhich?{options}"
    assert request.continuations == tuple((context, f" {letter}") for letter in "ABCD")
    (request,) = asked(GlobalMmlu(data=str(tmp_path), shots=2, prompting="chat"))
    turns = ({"role": "user", "content": context},)
    assert request.continuations == tuple((turns, letter) for letter in "ABCD")


def test_questions_that_begin_alike_follow_one_another(jsonl, tmp_path):
    for language in ("de", "fr"):
        for split in ("dev", "test"):
            subjects = ("law", "anatomy", "law", "anatomy")
            rows = [{**EXAM, "subject": subject, "sample_id": str(n)} for n, subject in enumerate(subjects)]
            jsonl(rows, f"{language}/{split}.jsonl")
    contexts = [request.continuations[0].context for request in asked(GlobalMmlu(data=str(tmp_path), shots=1))]
    assert len(contexts) == 8
    strategy = GlobalMmlu(data=str(tmp_path), shots=1)
    groups = [(question.language, question.groups[0]) for question in strategy._questions()]
    assert groups == [
        (code, f"subject {name}") for code in ("de", "fr") for name in ("anatomy", "anatomy", "law", "law")
    ]


def test_accuracy_is_given_by_part(jsonl):
    rows = [
        {**EXAM, "answer": "A", "cultural_sensitivity_label": "CA"},
        {**EXAM, "answer": "B", "subject": "law", "subject_category": "Humanities"},
        {**EXAM, "answer": "A", "subject": "law", "subject_category": "Humanities", "cultural_sensitivity_label": "-"},
    ]
    found = scores(GlobalMmlu(data=jsonl(rows), shots=0), likes_first)
    assert found == {
        "accuracy": 2 / 3, "accuracy/subject anatomy": 1, "accuracy/subject law": 0.5, "accuracy/category STEM": 1,
        "accuracy/category Humanities": 0.5, "accuracy/culturally agnostic": 1, "accuracy/culturally sensitive": 0,
        "unscored": 0, "cut": 0, "ambiguous": 0,
    }  # fmt: skip


def test_files_named_by_subject_need_no_columns(tmp_path):
    for split, row in (("dev", ["Shot?", 1, 2, 3, 4, "C"]), ("test", ["Which, of\nthese?", 1, 2, 3, 4, "A"])):
        (tmp_path / "mmlu_ar" / split).mkdir(parents=True)
        file = io.StringIO()
        csv.writer(file).writerow(row)
        (tmp_path / "mmlu_ar" / split / f"high_school_us_history_{split}.csv").write_text(file.getvalue())
    found = scores(GlobalMmlu(data=str(tmp_path / "mmlu_ar"), shots=1), likes_first)
    assert found["accuracy/subject high_school_us_history"] == 1


def test_what_could_not_be_scored_counts_as_wrong_and_is_counted(jsonl):
    strategy = Xcopa(data=jsonl([COPA, COPA]))

    def cut(request):
        return [LogLikelihood(-1.0, 1, cut=3), LogLikelihood(-math.inf if request.id == "it/1" else -2.0, 1)]

    assert scores(strategy, cut) == {"accuracy": 0.5, "unscored": 0.5, "cut": 1, "ambiguous": 0}


def test_of_equal_likelihoods_the_first_is_the_answer_as_in_the_harness(jsonl):
    rows = [COPA, {**COPA, "label": 1}]
    assert scores(Xcopa(data=jsonl(rows)), lambda request: [LogLikelihood(-1.0, 1)] * 2)["accuracy"] == 0.5


def test_a_right_option_that_is_there_twice_is_counted(jsonl):
    assert scores(Xcopa(data=jsonl([{**COPA, "choice2": "water flowed."}])), likes_first)["ambiguous"] == 1
    assert scores(GlobalMmlu(data=jsonl([{**EXAM, "option_c": "4"}]), shots=0), likes_first)["ambiguous"] == 0


@pytest.mark.parametrize(
    ("strategy", "row", "message"),
    [
        (Xcopa, {**COPA, "label": None}, r":2: label: no label; expected one of 0, 1"),
        (Xcopa, {key: COPA[key] for key in COPA if key != "label"}, r":2: label: no label"),
        (Xcopa, {**COPA, "label": 2}, r":2: label: the label 2; expected one of 0, 1"),
        (Xcopa, {**COPA, "question": "why"}, r":2: question: the label 'why'; expected one of cause, effect"),
        (Xcopa, {**COPA, "choice2": " "}, r":2: choice2: ' '; expected a text"),
        (Xcopa, {**COPA, "lang": "de"}, r":2: no connector in the language 'de'"),
        (
            Xstorycloze,
            {**STORY, "answer_right_ending": 3},
            r":2: answer_right_ending: the label 3; expected one of 1, 2",
        ),
        (Xwinograd, {**HUB_SCHEMA, "sentence": "No blank."}, r":2: 'No blank.' has no blank; expected _"),
        (
            Xwinograd,
            {"sentence_blank": "_", "options": ["a", "b", "c"], "answer": 0},
            r":2: options: .*; expected two texts",
        ),
        (
            Xwinograd,
            {"candidates": "[]", "sentence": "a", "tokens": "[", "pronoun": "[]"},
            r":2: not a row of dataset.tsv",
        ),
        (GlobalMmlu, {**EXAM, "answer": "E"}, r":2: answer: the label 'E'; expected one of A, B, C, D"),
        (GlobalMmlu, {**EXAM, "option_e": "5"}, r":2: 5 options; there are letters for 4"),
        (GlobalMmlu, {**EXAM, "option_d": None}, r":2: option_d: None; expected 4 options"),
        (GlobalMmlu, {**EXAM, "question": ""}, r":2: question: ''; expected a text"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_with_its_line(jsonl, strategy, row, message):
    good = {Xcopa: COPA, Xstorycloze: STORY, Xwinograd: HUB_SCHEMA, GlobalMmlu: EXAM}[strategy]
    settings = {"shots": 0} if strategy is GlobalMmlu else {}
    name = "eval.it.jsonl" if strategy is Xstorycloze else "test.it.jsonl"
    with pytest.raises(DataError, match=message):
        asked(strategy(data=jsonl([good, row], name), **settings))


def test_a_subject_with_too_few_examples_is_told(jsonl, tmp_path):
    jsonl([EXAM] * 2, "de/dev.jsonl")
    jsonl([EXAM], "de/test.jsonl")
    with pytest.raises(
        DataError, match=r"test\.jsonl:1: 2 rows of the subject 'anatomy' in the language 'de'.* 5 are to come"
    ):
        asked(GlobalMmlu(data=str(tmp_path)))


@pytest.mark.parametrize("strategy", [Xcopa, Xstorycloze, Xwinograd, GlobalMmlu])
def test_data_must_be_named_and_pinned(strategy):
    with pytest.raises(ValueError, match=r"expected either `data`.*license: "):
        strategy()
    with pytest.raises(ValueError, match="40 hexadecimal digits"):
        strategy(revision="main")
    pinned = strategy(revision=REVISION)
    assert pinned.build().signature()["data"].endswith(REVISION)
    assert pinned.needs_of_settings == ("datasets",)
    assert strategy(data="x").needs_of_settings == ()


def test_a_signature_changes_with_the_rows(jsonl):
    before = Xcopa(data=jsonl([COPA])).build().signature()
    assert Xcopa(data=jsonl([COPA])).build().signature() == before
    assert Xcopa(data=jsonl([COPA, COPA])).build().signature() != before


def test_every_question_has_a_name_of_its_own(jsonl, tmp_path):
    for name in ("it/test-00000-of-00002.jsonl", "it/test-00001-of-00002.jsonl", "test.tr.jsonl"):
        jsonl([COPA, COPA], name)
    names = [request.id for request in asked(Xcopa(data=str(tmp_path)))]
    assert len(set(names)) == len(names) == 6
    assert isinstance(Xcopa(data=str(tmp_path)).build(), MultipleChoice)


def test_an_item_that_is_twice_in_a_language_is_refused(jsonl):
    other = {**COPA, "choice2": "It froze."}
    with pytest.raises(DataError, match="the item '7' is in 'it' twice, with the same options and answer"):
        asked(Xcopa(data=jsonl([{**COPA, "idx": 7}, {**other, "idx": 8}, {**COPA, "idx": 7}])))
    assert len(asked(Xcopa(data=jsonl([{**COPA, "idx": 7}, {**other, "idx": 7}, {**COPA, "idx": 8}])))) == 3
    assert len(asked(Xcopa(data=jsonl([COPA, COPA])))) == 2  # rows that do not say which item they are
