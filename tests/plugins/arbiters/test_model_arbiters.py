"""Arbiters that run a model: scores in order, in any batch; what cannot be judged is a failure, not a number."""

import shutil
from statistics import fmean, pstdev

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from aya_core.api import Case, Completion, DataError, Sampling
from aya_plugins.arbiters.likelihood import Likelihood
from aya_plugins.arbiters.reward_model import RewardModel
from aya_plugins.modeling.checkpoint import load_unscored
from aya_plugins.teachers.transformers import Transformers


@pytest.fixture(scope="module")
def reward_model(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rm")
    torch.manual_seed(0)
    load_unscored(checkpoint("llama"), 0).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint("llama")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cases(counting):
    texts = ("one two", "", "three")
    return [
        Case(row.prompt, tuple(Completion(row.prompt.id, "t", n, text) for n, text in enumerate(texts[: 1 + k % 3])))
        for k, row in enumerate(counting)
    ]


def test_a_reward_model_scores_whole_conversations_as_transformers_does(reward_model, cases):
    verdicts = list(RewardModel(model=str(reward_model), batch_tokens=100).build().judge(cases))
    model = AutoModelForSequenceClassification.from_pretrained(reward_model)
    tokenizer = AutoTokenizer.from_pretrained(reward_model)
    assert [len(row) for row in verdicts] == [len(case.candidates) for case in cases]
    for case, row in zip(cases, verdicts, strict=True):
        for candidate, verdict in zip(case.candidates, row, strict=True):
            turns = [*case.prompt.messages, {"role": "assistant", "content": candidate.text}]
            inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
            assert verdict.score == pytest.approx(model(inputs["input_ids"]).logits.item(), abs=1e-5)


def test_a_reward_model_can_put_its_scores_on_one_scale(reward_model, cases):
    raw = RewardModel(model=str(reward_model)).build().judge(cases)
    arbiter = RewardModel(model=str(reward_model), normalize="language").build()
    arbiter.calibrate(cases)
    scores = [verdict.score for row in arbiter.judge(cases) for verdict in row]
    assert fmean(scores) == pytest.approx(0, abs=1e-6)
    assert pstdev(scores) == pytest.approx(1)
    for plain, normalized in zip(raw, arbiter.judge(cases), strict=True):
        assert [v.details["raw"] for v in normalized] == pytest.approx([v.score for v in plain], abs=1e-5)


def test_the_likelihood_arbiter_gives_nats_per_token(checkpoint, cases):
    verdicts = list(Likelihood(model=str(checkpoint())).build().judge(cases))
    teacher = Transformers(model=str(checkpoint())).build()
    for case, row in zip(cases, verdicts, strict=True):
        found = teacher.log_likelihoods([(case.prompt, candidate.text) for candidate in case.candidates])
        assert [one.score for one in row] == pytest.approx([one.nats / one.tokens for one in found])


def test_a_model_likes_its_own_greedy_answer(checkpoint, counting):
    teacher = Transformers(model=str(checkpoint())).build()
    prompt = counting[0].prompt
    [greedy] = teacher.answer([prompt], Sampling(temperature=0, max_tokens=20), 0)
    [row] = (
        Likelihood(model=str(checkpoint())).build().judge([Case(prompt, (greedy, Completion(prompt.id, "t", 1, "")))])
    )
    assert row[0].status == "scored"


def test_scores_that_are_no_numbers_are_failures(reward_model, checkpoint, cases, tmp_path):
    broken = shutil.copytree(reward_model, tmp_path / "broken")
    model = AutoModelForSequenceClassification.from_pretrained(broken)
    with torch.no_grad():
        model.score.weight.fill_(float("nan"))
    model.save_pretrained(broken)
    for row in RewardModel(model=str(broken)).build().judge(cases[:2]):
        assert {verdict.status for verdict in row} == {"failed"}
        assert "nan" in row[0].reason


def test_a_conversation_too_long_to_read_is_a_failure(reward_model, cases):
    [row] = RewardModel(model=str(reward_model), max_tokens=11).build().judge([cases[1]])
    assert [verdict.status for verdict in row] == ["failed", "scored"]
    assert row[0].reason == "longer than 11 tokens"


def test_a_likelihood_beyond_the_context_is_a_failure(checkpoint, cases):
    [row] = Likelihood(model=str(checkpoint(max_position_embeddings=11))).build().judge([cases[1]])
    assert [verdict.status for verdict in row] == ["failed", "scored"]


def test_a_language_model_is_no_reward_model(checkpoint):
    with pytest.raises(DataError, match=r"CohereForCausalLM; for a causal language model use the arbiter 'likelihood'"):
        RewardModel(model=str(checkpoint())).build()


def test_no_cases_give_no_verdicts(reward_model, checkpoint):
    assert list(RewardModel(model=str(reward_model)).build().judge([])) == []
    assert list(Likelihood(model=str(checkpoint())).build().judge([])) == []
