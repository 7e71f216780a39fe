"""Benchmarks of one's own in YAML: XCOPA and MMLU written so equal the bundled evaluators and the harness; and what templates may not."""

import json

import harness
import pytest
import yaml
from pydantic import ValidationError
from test_lm_eval_parity import mmlu, models, published, rows_agree, subject, teachers, theirs  # noqa: F401

from aya_core.api import Completion, CorpusScore, DataError, EvaluatedModel, LogLikelihood, Replies, RowScore
from aya_plugins.evaluators.choice import Choice
from aya_plugins.evaluators.generate import Generate
from aya_plugins.evaluators.global_mmlu import GlobalMmlu
from aya_plugins.evaluators.xcopa import CONNECTORS, Xcopa
from aya_recipe.evaluate.replying import ask_at_once

XCOPA = """
question: "{{ premise.strip()[:-1] }} {{ CONNECTORS[language][question] }}"
options: ["{{ choice1[0] | lower }}{{ choice1[1:] }}", "{{ choice2[0] | lower }}{{ choice2[1:] }}"]
answer: "{{ label }}"
"""

MMLU = """
question: |-
  {{ question.strip() }}
  A. {{ option_a }}
  B. {{ option_b }}
  C. {{ option_c }}
  D. {{ option_d }}
  Answer:
options: [A, B, C, D]
answer_as: letter
shots: 5
shots_by: subject
"""


def xcopa(folder):
    settings = yaml.safe_load(XCOPA.replace("CONNECTORS", json.dumps(CONNECTORS).replace('"', "'").replace("'", '\\"')))
    return Choice(data=str(folder / "xcopa"), **settings)


def mmlu_in_yaml(folder):
    return Choice(data=str(folder / "global_mmlu"), **yaml.safe_load(MMLU))


def asked(strategy):
    return [tuple(request.continuations) for request in strategy.build().requests()]


def test_xcopa_in_yaml_asks_what_the_bundled_one_asks(published):  # noqa: F811
    ours = asked(xcopa(published))
    assert ours == asked(Xcopa(data=str(published / "xcopa")))
    assert len(ours) == 3 * len(CONNECTORS)


def test_mmlu_in_yaml_asks_what_the_bundled_one_asks(published):  # noqa: F811
    ours, bundled = asked(mmlu_in_yaml(published)), asked(GlobalMmlu(data=str(published / "global_mmlu")))
    assert sorted(ours) == sorted(bundled)
    assert len(ours) == 8


def test_chats_in_yaml_are_those_of_the_bundled_ones(published):  # noqa: F811
    ours = asked(xcopa(published).model_copy(update={"prompting": "chat"}))
    assert ours == asked(Xcopa(data=str(published / "xcopa"), prompting="chat"))


@pytest.mark.parametrize("name", ["untrained", "trained"])
def test_likelihoods_and_both_accuracies_are_those_of_the_harness(published, teachers, theirs, name):  # noqa: F811
    files = sorted((published / "xcopa").glob("*/test.*.jsonl"))
    tasks = [
        harness.task(f"xcopa/default_{file.parent.name}.yaml", test=harness.jsonl(file), validation=harness.jsonl(file))
        for file in files
    ]
    for made in tasks:
        made._metric_fn_list |= {"acc_norm": made._metric_fn_list["acc"]}
    strategy = xcopa(published)
    rows_agree(teachers[name], theirs[name], strategy, tasks)
    expected = [row for made in tasks for row in harness.replies(made, theirs[name])]
    replies = ask_at_once(teachers[name], strategy.build(), "tiny", 0)
    normalized = [row.value for row in strategy.build().evaluate(subject(replies)) if row.metric == "acc_norm"]
    assert normalized == [metrics["acc_norm"] for _, _, metrics in expected]
    assert 0 < sum(normalized) < len(normalized)


def test_mmlu_in_yaml_agrees_with_the_harness(published, teachers, theirs):  # noqa: F811
    tasks = [mmlu(published / "global_mmlu", code, of) for code in ("ar", "de") for of in ("anatomy", "virology")]
    expected = {tuple(asked): nats for made in tasks for asked, nats, _ in harness.replies(made, theirs["trained"])}
    evaluator = mmlu_in_yaml(published).build()
    replies = ask_at_once(teachers["trained"], evaluator, "tiny", 0)
    for request in evaluator.requests():
        ours = [one.nats for one in replies.log_likelihoods[request.id]]
        assert ours == pytest.approx(expected[tuple(map(tuple, request.continuations))], abs=1e-4)
    assert len(expected) == 8


def rows(folder, *found, name="de.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return str(folder)


QUESTION = {"q": "Tag?", "o": ["ja", "nein, nie"], "a": "nein, nie", "n": 1}
WAYS = {"question": "{{ q }}", "options": "o", "answer": "{{ a }}", "answer_as": "text"}


def scored(strategy, nats):
    evaluator = strategy.build()
    ids = [request.id for request in evaluator.requests()]
    replies = Replies({id: [LogLikelihood(value, 1) for value in nats] for id in ids})
    return {
        row.metric: row.value for row in evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], replies))
    }


@pytest.mark.parametrize(
    ("settings", "right"),
    [({}, True), ({"answer": "{{ n }}", "answer_as": "index"}, True), ({"answer": "b", "answer_as": "letter"}, True),
     ({"answer": "0", "answer_as": "index"}, False)],
)  # fmt: skip
def test_an_answer_is_a_place_a_letter_or_a_text(tmp_path, settings, right):
    strategy = Choice(data=rows(tmp_path, QUESTION), **{**WAYS, **settings})
    assert scored(strategy, [-2.0, -1.0])["accuracy"] == right


def test_accuracy_by_length_counts_each_character(tmp_path):
    strategy = Choice(data=rows(tmp_path, QUESTION), **WAYS)
    found = scored(strategy, [-2.0, -3.0])
    assert (found["accuracy"], found["acc_norm"]) == (0.0, 1.0)
    assert next(iter(strategy.metrics)) == "accuracy"
    assert next(iter(strategy.model_copy(update={"metric": "acc_norm"}).metrics)) == "acc_norm"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"question": "{{ x }}"}, r"de\.jsonl:1: question: 'x' is undefined; columns found: q, o, a, n, nothing, half"),
        ({"question": "{{ q.__class__ }}"}, "question: .*unsafe"),
        ({"question": "{{ q.__class__.__mro__ }}"}, "question: "),
        ({"question": "{{ q + n }}"}, "question: TypeError"),
        ({"question": "{{ q }} {{ nothing }}"}, r"de\.jsonl:1: question: ValueError: what it prints is null; mend"),
        ({"answer": "{{ half }}"}, r"answer: ValueError: what it prints is not a number \(NaN\)"),
        ({"options": "p"}, "options: column 'p': no such column among q, o, a, n, nothing, half"),
        ({"options": "q"}, "options: column 'q': 'Tag\\?'; expected a list"),
        ({"options": ["{{ q }}", " "]}, "options: option 1 is empty"),
        ({"answer": "vielleicht"}, r"answer: 'vielleicht'; expected one of the options ja, nein, nie"),
        ({"answer": "2", "answer_as": "index"}, "answer: '2'; expected a place from 0 to 1"),
        ({"answer": "-1", "answer_as": "index"}, "answer: '-1'; expected a place"),
        ({"answer": "C", "answer_as": "letter"}, "expected a letter from A to B"),
        ({"shots": 1}, "no row of the split dev"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_or_a_template_is_told_with_its_place(tmp_path, settings, message):
    row = {**QUESTION, "nothing": None, "half": float("nan")}
    strategy = Choice(data=rows(tmp_path, row), **{**WAYS, **settings})
    with pytest.raises(DataError, match=message):
        list(strategy.build().requests())


@pytest.mark.parametrize(
    "settings",
    [{"question": "{{ q"}, {"question": "{% for %}"}, {"options": ["a"]}, {"shots": 1, "shots_split": "test"},
     {"revision": "0" * 40, "data": None},
     {"language": "Deutsch"}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        Choice(**{"data": "x", **WAYS, **settings})


def test_examples_share_the_column_that_is_named_and_come_after_the_description(tmp_path):
    shown = [{**QUESTION, "q": f"{of}{n}?", "of": of} for of in "ab" for n in range(3)]
    rows(tmp_path, *shown, name="dev.de.jsonl")
    data = rows(tmp_path, {**QUESTION, "of": "b"}, name="test.de.jsonl")
    strategy = Choice(data=data, **WAYS, shots=2, shots_by="of", description="About {{ of }}.\n")
    ((first, _),) = asked(strategy)
    assert first.context == "About b.\nb0? nein, nie\n\nb1? nein, nie\n\nTag?"
    assert first.text == " ja"


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.json", "x.jsonl"])
def test_files_of_any_kind_and_a_language_that_is_set(tmp_path, name):
    row = {"q": "Tag?", "a": "ja"}
    text = {
        "csv": "q,a\nTag?,ja\n",
        "tsv": "q\ta\nTag?\tja\n",
        "json": json.dumps([row]),
        "jsonl": json.dumps(row) + "\n",
    }[name[2:]]
    (tmp_path / name).write_text(text)
    (request,) = (
        Generate(data=str(tmp_path / name), language="de", question="{{ q }}", answer="{{ a }}").build().requests()
    )
    assert (request.prompt.text, request.prompt.reference, request.prompt.language) == ("Tag?", "ja", "de")


def said(strategy, *texts):
    evaluator = strategy.build()
    asked = list(evaluator.requests())
    completions = {
        one.prompt.id: (Completion(one.prompt.id, "", 0, text, finish_reason=reason),)
        for one, (text, reason) in zip(asked, texts, strict=False)
    }
    return list(evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies({}, completions))))


def values(found, metric):
    return [row.value for row in found if row.metric == metric]


def test_answers_are_taken_out_by_the_filter_and_compared(tmp_path):
    data = rows(tmp_path, *({"q": "1+1", "a": 2} for _ in range(6)))
    settings = {"data": data, "question": "{{ q }}", "answer": "{{ a }}", "filter": r"#### (\d+)"}
    texts = [("#### 2", "stop"), ("2", "stop"), ("#### 3 #### 2", "stop"), ("#### 12", "length"), ("", "stop")]
    found = said(Generate(**settings), *texts)
    assert values(found, "exact_match") == [1, 0, 0, 0, 0, 0]
    assert values(found, "unread") == [0, 1, 0, 0, 1]
    assert values(found, "cut_short") == [0, 0, 0, 1, 0]
    assert values(found, "unanswered") == [0, 0, 0, 0, 0, 1]
    assert values(said(Generate(**settings, filter_takes="last"), *texts), "exact_match") == [1, 0, 1, 0, 0, 0]
    assert values(said(Generate(**settings, metric="contains"), *texts), "contains") == [1, 0, 0, 1, 0, 0]


def test_case_punctuation_and_other_answers_count_as_set(tmp_path):
    data = rows(tmp_path, {"q": "?", "a": "Köln", "more": ["Cologne"]})
    settings = {"data": data, "question": "{{ q }}", "answer": "{{ a }}"}
    for text, more, right in (
        (" Köln\n", {}, 1), ("köln", {}, 0), ("köln", {"ignore_case": True}, 1), ("„Köln“!", {"ignore_punctuation": True}, 1),
        ("Cologne", {}, 0), ("Cologne", {"accepted": "more"}, 1), ("In Köln.", {"metric": "contains"}, 1),
    ):  # fmt: skip
        metric = more.get("metric", "exact_match")
        assert values(said(Generate(**settings, **more), (text, "stop")), metric) == [right], (text, more)


def test_chrf_is_that_of_the_corpus_by_language(tmp_path):
    import sacrebleu

    rights = ["Der Hund schläft heute.", "Sie liest ein Buch."]
    data = rows(tmp_path, *({"q": "?", "a": right} for right in rights))
    rows(tmp_path, {"q": "?", "a": "Uyuyor"}, name="tr.jsonl")
    found = said(
        Generate(data=data, question="{{ q }}", answer="{{ a }}", metric="chrf++"),
        ("Der Hund schlief.", "stop"),
        (rights[1], "stop"),
    )
    scores = {row.language: row for row in found if row.metric == "chrf++"}
    expected = sacrebleu.corpus_chrf(["Der Hund schlief.", rights[1]], [rights], word_order=2).score
    assert scores["de"].value == pytest.approx(expected)
    assert (scores["de"].n, scores["tr"].value) == (2, 0.0)


def test_chats_give_examples_as_earlier_turns_and_text_gives_all_in_one(tmp_path):
    rows(tmp_path, {"q": "1+1", "a": "2"}, name="dev.de.jsonl")
    data = rows(tmp_path, {"q": "2+2", "a": "4"}, name="test.de.jsonl")
    settings = {"data": data, "question": "{{ q }} =", "answer": "{{ a }}", "shots": 1}
    (chat,) = Generate(**settings).build().requests()
    assert [turn["content"] for turn in chat.prompt.messages] == ["1+1 =", "2", "2+2 ="]
    (text,) = Generate(**settings, prompting="text", stop=["\n"]).build().requests()
    assert [turn["content"] for turn in text.prompt.messages] == ["1+1 = 2\n\n2+2 ="]
    assert text.sampling.stop == ("\n",)


def test_every_setting_that_moves_numbers_is_in_the_signature(tmp_path):
    data = rows(tmp_path, QUESTION)
    first = Choice(data=data, **WAYS).build().signature()
    for changed in (
        {"question": "{{ q }}!"},
        {"answer": "ja"},
        {"options": ["ja", "nein, nie"]},
        {"limit": 1},
        {"prompting": "chat"},
    ):
        assert Choice(data=data, **{**WAYS, **changed}).build().signature() != first, changed
    ways = {"data": data, "question": "{{ q }}", "answer": "{{ a }}"}
    first = Generate(**ways).build().signature()
    for changed in (
        {"filter": "x"},
        {"ignore_case": True},
        {"max_tokens": 5},
        {"stop": ["x"]},
        {"accepted": "o"},
        {"metric": "contains"},
    ):
        assert Generate(**{**ways, **changed}).build().signature() != first, changed


def test_a_column_may_name_the_same_question_in_every_language(tmp_path):
    for code in ("de", "fr"):
        data = rows(tmp_path, *({**QUESTION, "key": f"k{n}", "a2": "ja"} for n in range(2)), name=f"{code}.jsonl")
    choice = Choice(data=data, **WAYS, item="key").build()
    ids = [request.id for request in choice.requests()]
    replies = Replies({id: [LogLikelihood(-1.0, 1), LogLikelihood(-2.0, 1)] for id in ids})
    found = choice.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], replies))
    assert {(row.language, row.item) for row in found} == {(code, key) for code in ("de", "fr") for key in ("k0", "k1")}
    for metric in ("exact_match", "chrf++"):
        settings = Generate(data=data, question="{{ q }}", answer="{{ a2 }}", metric=metric, item="key")
        assert [request.prompt.item for request in settings.build().requests()] == ["k0", "k1"] * 2
        answered = said(settings, *[("ja", "stop")] * 4)
        assert {row.item for row in answered if isinstance(row, RowScore)} == {"k0", "k1"}
        assert all(row.influences.keys() == {"k0", "k1"} for row in answered if isinstance(row, CorpusScore))
    with pytest.raises(DataError, match="column 'kye' is missing"):
        list(Choice(data=data, **WAYS, item="kye").build().requests())


def test_languages_that_the_data_lacks_are_left_out_only_where_that_is_said(tmp_path):
    settings = {"data": rows(tmp_path, QUESTION), **WAYS, "languages": ["de", "fr"]}
    (request,) = Choice(**settings, may_lack_languages=True).build().requests()
    assert request.language == "de"
    with pytest.raises(DataError, match="fr"):
        list(Choice(**settings).build().requests())
