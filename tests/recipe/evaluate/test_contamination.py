"""Rows of an evaluation that models were trained on: found where they occur, by evaluator and language, and nowhere else."""

import pytest

from aya_core.contract.artifacts import read_rows, write_rows
from aya_core.contract.records import Demonstration, Prompt, user_prompt
from aya_core.contract.requests import Continuation, GenerationRequest, Sampling, ScoringRequest
from aya_core.planning.plan import Node, make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.running.work import Work
from aya_recipe.evaluate import contamination, replying
from aya_recipe.evaluate.contamination import Contaminated

LONG = "The quick brown fox jumps over the lazy dog while seven wise owls watch from the tall oak tree"
SHOTS = "Question: one and one make how many apples when you also count the pears?\nAnswer: two\n\n"


@pytest.fixture
def find(tmp_path):
    """Compare training rows with prompts and requests; returns the measures and the rows that were found."""

    def run(trained, prompts=(), scoring=(), generation=()):
        inputs = {}
        for name in ("asked.stage.prompts", "asked.quiz", "trained.0"):
            inputs[name] = tmp_path / name
            inputs[name].mkdir(exist_ok=True)
        write_rows(inputs["trained.0"], Demonstration, trained)
        write_rows(inputs["asked.stage.prompts"], Prompt, prompts)
        write_rows(inputs["asked.quiz"], ScoringRequest, scoring, replying.SCORING)
        write_rows(inputs["asked.quiz"], GenerationRequest, generation, replying.GENERATION)
        node = Node("s.contamination", "s", "find-contamination", "contamination", {}, {}, {}, {}, 0)
        work = Work(node, None, inputs, tmp_path, lambda *words: None)
        work.out.mkdir(exist_ok=True)
        measures = contamination.find(work)
        return measures, list(read_rows(work.out, Contaminated))

    return run


def taught(text, answer="ok"):
    return Demonstration(user_prompt(text[:20], "en", text), answer)


def test_a_prompt_that_was_trained_on_is_found_and_others_are_not(find):
    prompts = [
        user_prompt("same", "en", "Say  HI!"),
        user_prompt("other", "en", "Say ho!"),
        user_prompt("de", "de", LONG),
    ]
    measures, found = find([taught("say hi!"), taught("unlike")], prompts)
    assert found == [Contaminated("stage.prompts", "en", "same", 1, 0)]
    assert measures["by_source"] == {
        "stage.prompts": {
            "de": {"rows": 1, "exact": 0, "overlapping": 0}, "en": {"rows": 2, "exact": 1, "overlapping": 0},
        }
    }  # fmt: skip
    assert measures["training_rows"] == 2


@pytest.mark.parametrize("answer", [False, True])
def test_a_passage_is_found_in_prompts_and_in_answers(find, answer):
    text = f"Once it was told: {LONG.upper()}, and so on"
    row = taught("a story", text) if answer else taught(text)
    _, (found,) = find([row], [user_prompt("p", "en", f"Why is it that {LONG}?")])
    assert (found.row_id, found.exact, found.passages) == ("p", 0, len(LONG.split()) - 12)


def test_an_option_counts_with_its_context(find):
    request = ScoringRequest("q", "en", (Continuation("The answer is", " yes"), Continuation("The answer is", " no")))
    _, (found,) = find([taught("Which?", "the answer is no")], scoring=[request])
    assert (found.source, found.row_id, found.exact) == ("quiz", "q", 1)


def test_examples_before_a_question_do_not_count_for_every_question(find):
    questions = [f"Question: {LONG} and {number}?\nAnswer:" for number in ("five", "six")]
    scoring = [
        ScoringRequest(f"{place}", "en", (Continuation(SHOTS + text, " A"),)) for place, text in enumerate(questions)
    ]
    _, found = find([taught(SHOTS)], scoring=scoring)
    assert [row.row_id for row in found] == ["0"]
    _, found = find([taught(f"{LONG} and six")], scoring=scoring)
    assert {row.row_id for row in found} == {"0", "1"}


def test_what_more_than_ten_rows_share_is_a_template(find):
    def prompts(count):
        return [user_prompt(f"{n}", "en", f"{LONG} number {n}") for n in range(count)]

    assert len(find([taught(LONG)], prompts(10))[1]) == 10
    assert find([taught(LONG)], prompts(11))[1] == []


def test_generation_requests_are_compared_too(find):
    asked = [GenerationRequest(user_prompt("g", "fr", LONG), Sampling())]
    measures, (found,) = find([taught(LONG)], generation=asked)
    assert (found.row_id, found.exact, found.passages) == ("g", 1, len(LONG.split()) - 12)
    assert measures["by_source"]["quiz"]["fr"] == {"rows": 1, "exact": 1, "overlapping": 1}


def test_training_rows_of_teachers_count_and_held_out_ones_do_not(edit):
    def change(raw):
        offline = next(stage for stage in raw["stages"] if stage["name"] == "offline")
        offline["validation"] = {"use": "sums", "count": 3}

    plan = make_plan(load_recipe(edit(change)))
    inputs = plan.nodes["scores.contamination"].inputs
    assert {id for role, id in inputs.items() if role.startswith("asked.")} == {"scores.prompts"}
    assert {id for role, id in inputs.items() if role.startswith("trained.")} == {
        "base.data", "clever.data", "arbitrage.prompts", "online.prompts",
    }  # fmt: skip


def test_nothing_is_compared_where_nothing_was_trained(edit):
    def change(raw):
        raw["stages"] = [{**raw["stages"][-1], "models": ["./model"], "controls": []}]
        raw["stages"][0]["evaluators"] = {"right": {"use": "right"}}

    recipe = edit(change)
    (recipe.parent / "model").mkdir()
    assert "scores.contamination" not in make_plan(load_recipe(recipe)).nodes
