"""Evaluators that ask for answers, with a tiny model that gives them."""

import harness
import pytest
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.api import CorpusScore, EvaluatedModel
from aya_plugins.evaluators.flores import Flores
from aya_plugins.evaluators.include import Include
from aya_plugins.evaluators.mgsm import Mgsm
from aya_plugins.teachers.transformers import Transformers
from aya_recipe.evaluate.replying import ask_at_once

READ = 420
"""Tokens that the tiny model reads; one is a byte or a few."""


@pytest.fixture(scope="module")
def folder(checkpoint):
    return checkpoint("llama", kind="bpe", vocab_size=420, max_position_embeddings=READ)


@pytest.fixture(scope="module")
def teacher(folder):
    return Transformers(model=str(folder), device="cpu").build()


def asked(teacher, strategy):
    """What a model says to an evaluator, and what the evaluator says of it."""
    evaluator = strategy.build()
    replies = ask_at_once(teacher, evaluator, "tiny", 0)
    scores = list(evaluator.evaluate(EvaluatedModel("tiny", [], [], [], lambda pairs: [], replies)))
    return list(evaluator.requests()), replies, scores


def rows(scores, metric):
    return [score.value for score in scores if score.metric == metric]


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mgsm")
    questions = [("What is 1 + 1?", "2"), ("How many legs have 3 cats?", "12"), ("What is 4 - 4? " * 40, "0")]
    (folder / "mgsm_en.tsv").write_text("".join(f"{question}\t{gold}\n" for question, gold in questions))
    return folder


def test_a_tiny_model_is_judged_as_by_the_harness_from_end_to_end(folder, teacher, problems):
    strategy = Mgsm(data=str(problems), shots=0, prompting="text", max_tokens=24)
    requests, replies, scores = asked(teacher, strategy)
    docs = [
        {
            "question": request.prompt.text.removeprefix("Question: ").split("\nStep")[0],
            "answer": None,
            "answer_number": gold,
        }
        for request, gold in zip(requests, ("2", "12", "0"), strict=True)
    ]
    example = [{"question": "Question: 1?", "answer": "Step-by-Step Answer: 1.", "answer_number": "1"}]
    made = harness.task("mgsm/native_cot/mgsm_native_cot_en.yaml", test=docs, train=example)
    made.build_all_requests()
    model = AutoModelForCausalLM.from_pretrained(folder)
    theirs = HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu", max_length=READ)
    for instance in made.instances[:2]:
        instance.arguments[1]["max_gen_toks"] = 24
    replied = theirs.generate_until(made.instances[:2], disable_tqdm=True)
    assert [replies.completions[request.prompt.id][0].text for request in requests[:2]] == replied
    assert any(replied)
    for instance, text in zip(made.instances[:2], replied, strict=True):
        instance.resps.append(text)
    for ensemble, metric in zip(made._filters, ("exact_match", "exact_match/flexible"), strict=True):
        ensemble.apply(made.instances[:2])
        found = [made.process_results(docs[n], [made.instances[n].filtered_resps[ensemble.name]]) for n in range(2)]
        assert rows(scores, metric)[:2] == [one["exact_match"] for one in found]
    # the third is longer than the model reads: the harness cuts its start off, here it is left out and counted
    assert rows(scores, "unanswered") == [0, 0, 1]
    assert rows(scores, "exact_match")[2] == 0


def test_translations_too_long_to_be_asked_are_empty_ones(teacher, tmp_path):
    lines = {"eng": ["A cat.", "A dog. " * 60], "deu": ["Eine Katze.", "Ein Hund. " * 60]}
    for language, text in lines.items():
        (tmp_path / f"newstest2019-ref.{language}.txt").write_text("\n".join(text) + "\n")
    requests, replies, scores = asked(teacher, Flores(data=str(tmp_path), max_tokens=8, resamples=10))
    assert len(requests) == 4
    assert len(replies.completions) == 2
    assert rows(scores, "unanswered") == [0, 1, 0, 1]
    found = {score.metric: score.value for score in scores if isinstance(score, CorpusScore)}
    assert found.keys() == {"chrf++", "chrf++/xx-en", "chrf++/en-xx"}
    assert found["chrf++"] == pytest.approx((found["chrf++/xx-en"] + found["chrf++/en-xx"]) / 2)


def test_an_untrained_model_names_no_option(teacher, tmp_path):
    options = "\t".join(f"option_{letter}" for letter in "abcd")
    (tmp_path / "English_test.tsv").write_text(f"question\t{options}\tanswer\nWhich?\t1\t2\t3\t4\t3\n")
    _, _, scores = asked(teacher, Include(data=str(tmp_path), max_tokens=8))
    assert (rows(scores, "accuracy"), rows(scores, "unread"), rows(scores, "cut_short")) == ([0], [1], [1])
