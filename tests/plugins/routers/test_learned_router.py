"""Laws of the learned router: whom it names depends on the prompt, and on who may be asked."""

import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from aya_core.api import AyaError, Completion, DataError, Judged, Pool, Verdict, user_prompt
from aya_plugins.routers.learned import Learned
from aya_plugins.trainers.router import RouterTraining

POOL = Pool(dict.fromkeys(("cem", "ana", "bo")))
GOOD_AT = {"ana": 1, "bo": 2, "cem": 3}  # how many times "next"


@pytest.fixture(scope="module")
def model(counting, checkpoint, rows_folder, run_trainer):
    """A router trained on the counting prompts: bo is second best at all that he is not best at."""
    rows = []
    for row in counting:
        for name, many in GOOD_AT.items():
            score = 1.0 if row.prompt.text.count("next") == many else 0.5 if name == "bo" else 0.0
            rows.append(Judged(Completion(row.prompt.id, name, 0, "!"), Verdict(score)))
    prompts = rows_folder([row.prompt for row in counting])
    settings = RouterTraining(
        prompts=str(prompts), validation={}, temperature=0.3, steps=80, batch_rows=27, learning_rate=3e-3
    )
    folder, measures = run_trainer(settings, rows_folder(rows), start=checkpoint("llama"))
    assert measures["training/accuracy"] == 1
    return str(folder)


@pytest.fixture(scope="module")
def prompts(counting):
    return [row.prompt for row in counting]


def best(prompt):
    return next(name for name, many in GOOD_AT.items() if prompt.text.count("next") == many)


def test_each_prompt_goes_to_the_teacher_expected_to_do_best(model, prompts):
    routes = Learned(model=model).build().route(prompts, POOL, 0)
    assert routes == [[best(prompt)] for prompt in prompts]


def test_the_second_best_comes_second(model, prompts):
    routes = Learned(model=model, k=2).build().route(prompts, POOL, 0)
    assert all(
        names == [best(prompt), "bo"] for prompt, names in zip(prompts, routes, strict=True) if best(prompt) != "bo"
    )
    assert {len(set(names)) for names in routes} == {2}


def test_only_teachers_asked_in_the_language_are_named(model, prompts):
    pool = Pool({"ana": ("tr",), "bo": None, "cem": ("en", "tr")})
    routes = Learned(model=model, k=2).build().route(prompts, pool, 0)
    assert {tuple(sorted(names)) for names in routes} == {("bo", "cem")}
    nobody = Pool({"ana": ("tr",), "bo": ("tr",), "cem": ("tr",)})
    assert Learned(model=model).build().route(prompts[:2], nobody, 0) == [[], []]


def test_a_learned_teacher_that_is_not_in_the_pool_is_passed_over(model, prompts):
    routes = Learned(model=model).build().route(prompts, Pool(dict.fromkeys(("ana", "bo"))), 0)
    assert routes == [[best(prompt) if best(prompt) != "cem" else "bo"] for prompt in prompts]


def test_a_teacher_that_the_router_never_learned_of_is_an_error_unless_passed_over(model, prompts):
    pool = Pool(dict.fromkeys(("dee", *POOL)))
    with pytest.raises(AyaError, match="learned of ana, bo, cem, and never of dee; train it on verdicts"):
        Learned(model=model).build().route(prompts, pool, 0)
    passing = Learned(model=model, newcomers="pass-over").build()
    assert passing.route(prompts, pool, 0) == Learned(model=model).build().route(prompts, POOL, 0)


def test_more_teachers_than_there_are_is_an_error(model, prompts):
    with pytest.raises(AyaError, match="2 of them are in this stage, and k is 3, which is more"):
        Learned(model=model, k=3).build().route(prompts, Pool(dict.fromkeys(("ana", "bo"))), 0)


def test_a_model_that_is_no_router_is_refused(checkpoint):
    with pytest.raises(DataError, match=r"LlamaForCausalLM with 2 labels; .*as the trainer 'router' writes it"):
        Learned(model=str(checkpoint("llama"))).build()


def test_a_broken_router_is_an_error_and_no_route(model, prompts, tmp_path):
    broken = shutil.copytree(model, tmp_path / "broken")
    weights = AutoModelForSequenceClassification.from_pretrained(broken)
    with torch.no_grad():
        weights.score.weight.fill_(float("nan"))
    weights.save_pretrained(broken)
    with pytest.raises(AyaError, match="gives values that are no finite numbers"):
        Learned(model=str(broken)).build().route(prompts, POOL, 0)


def test_an_empty_prompt_is_routed_and_no_prompts_give_no_routes(model):
    router = Learned(model=model).build()
    assert router.route([], POOL, 0) == []
    assert len(router.route([user_prompt("empty", "en", "")], POOL, 0)[0]) == 1
