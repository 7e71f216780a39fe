"""Evaluators with rows of their own: one pass over the model for all of them, and no question asked twice."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st

from aya_core.api import Continuation, GenerationRequest, PluginError, Sampling, ScoringRequest, user_prompt
from aya_core.contract.requests import LogLikelihood, Scored
from aya_core.testing import check_evaluator
from aya_recipe.evaluate.replying import scored

HERE = Path(__file__).parent


@pytest.fixture
def quiz(tmp_path, aya):
    shutil.copy(HERE / "quiz_plugin.py", tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")

    def run(evaluators, check=0):
        recipe = {
            "name": "quiz", "plugins": ["quiz_plugin.py"], "languages": ["en"],
            "stages": [{
                "name": "scores", "do": "evaluate", "models": ["./model"], "evaluators": evaluators, "teacher": {"use": "clerk"},
            }],
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        notes = tmp_path / "asked.txt"
        notes.unlink(missing_ok=True)
        replied = aya("run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"), check=check)
        report = (
            json.loads((tmp_path / "run" / "report.json").read_text())
            if check == 0
            else {"sections": {"scores": {"data": {}}}}
        )
        return replied, report["sections"]["scores"]["data"], notes.read_text().splitlines() if notes.exists() else []

    return run


def test_an_evaluator_gets_the_replies_to_what_it_asked_and_the_store_of_the_run(quiz, tmp_path):
    _, report, asked = quiz({"quiz": {"use": "quiz"}})
    assert (tmp_path / "run" / "store" / "quiz").is_dir()
    (row,) = report["stages"]
    assert row["metrics"]["quiz: accuracy"]["value"] == 1.0
    letters = row["metrics"]["quiz: letters"]
    assert (letters["value"], letters["standard_error"], letters["n"]) == (3 * len("0?"), 0.5, 3)
    assert len(asked) == 4 * 2 + 4
    assert {"0 8", "1 9", "2 8", "3 9"} <= set(asked)


def test_what_was_asked_before_is_not_asked_again(quiz):
    quiz({"quiz": {"use": "quiz"}})
    _, _, asked = quiz({"quiz": {"use": "quiz", "bonus": 1.0}})
    assert asked == []
    _, report, asked = quiz({"quiz": {"use": "quiz", "questions": 5}, "more": {"use": "quiz", "questions": 1}})
    # "2" had no answer, so it is asked again
    assert sorted(asked) == sorted(["2 8", *["4 and then"] * 2, "4 8", *["0 and then"] * 2, "0 8"])
    assert report["stages"][0]["metrics"]["more: letters"]["value"] == 2


def test_evaluators_that_do_not_change_are_not_scored_again(quiz, tmp_path):
    def scored():
        return {
            path.parent
            for path in (tmp_path / "run" / "artifacts").rglob("artifact.json")
            if "scores.quiz@" in str(path)
        }

    quiz({"quiz": {"use": "quiz"}})
    before = scored()
    quiz({"quiz": {"use": "quiz"}, "more": {"use": "quiz", "questions": 1}})
    assert len(before) == 1
    assert scored() == before


texts = st.text(st.characters(codec="utf-8"), max_size=8)
contexts = texts | st.tuples(st.fixed_dictionaries({"role": st.just("user"), "content": texts}))


@given(st.lists(st.tuples(contexts, texts), min_size=1, max_size=4))
def test_requests_are_read_back_as_they_were(pairs):
    request = ScoringRequest("a", "en", tuple(Continuation(*pair) for pair in pairs))
    assert ScoringRequest.from_values(*request.to_values()) == request


@given(texts, st.integers(1, 9), st.floats(0, 2))
def test_prompts_with_their_sampling_are_read_back_as_they_were(text, n, temperature):
    request = GenerationRequest(user_prompt("a", "en", text), Sampling(n=n, temperature=temperature, stop=("\n",)))
    assert GenerationRequest.from_values(*request.to_values()) == request


def test_log_likelihoods_are_read_back_as_they_were():
    row = Scored("a", (LogLikelihood(-1.25, 2), LogLikelihood(-3.5, 1, cut=7)))
    assert Scored.from_values(*row.to_values()) == row


class Careless:
    """A teacher that leaves out, repeats or invents continuations."""

    def __init__(self, places, nats=-1.0):
        self.places = places
        self.nats = nats

    def continuations(self, asked):
        for place in self.places:
            yield place, LogLikelihood(self.nats, 1)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Careless([0]), "left continuations of 'q'"),
        (Careless([0, 0, 1]), "twice"),
        (Careless([0, 1, 2]), "continuation 2 of 2"),
        (Careless([0, 1], nats=0.5), "at most 0 nats"),
    ],
)
def test_a_careless_teacher_is_told_so(teacher, message):
    request = ScoringRequest("q", "en", (Continuation("a", " b"), Continuation("a", " c")))
    with pytest.raises(PluginError, match=message):
        list(scored(teacher, [request], "model"))


def test_the_quiz_behaves():
    import quiz_plugin

    check_evaluator(quiz_plugin.Quiz())
