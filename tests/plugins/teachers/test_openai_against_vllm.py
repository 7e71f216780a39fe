"""The openai teacher against vLLM's own server: the same model answers the same as under transformers."""

import pytest

from aya_core.api import AyaError, Completion, Sampling, user_prompt
from aya_core.testing import check_teacher
from aya_plugins.teachers.openai import OpenAI
from aya_plugins.teachers.transformers import Transformers

GREEDY = Sampling(temperature=0, max_tokens=12)


def answers(strategy, prompts, sampling=GREEDY, seed=0):
    found = [one for one in strategy.build().answer(prompts, sampling, seed) if isinstance(one, Completion)]
    assert len({(one.prompt_id, one.index) for one in found}) == len(found)
    return {(one.prompt_id, one.index): one for one in found}


@pytest.fixture
def prompts(counting):
    return [row.prompt for row in counting]


@pytest.fixture
def served(vllm_server):
    """Make the strategy that asks the server."""

    def make(**settings):
        return OpenAI(**{"base_url": vllm_server.base_url, "model": str(vllm_server.checkpoint), **settings})

    return make


def test_it_conforms(served):
    check_teacher(served())


def replied(found):
    """Everything but the teacher's name. Spaces at the ends are the detokenizer's: vLLM's puts one where a special token,
    which it drops, began the answer."""
    return {
        key: (one.text.strip(), one.prompt_tokens, one.completion_tokens, one.finish_reason)
        for key, one in found.items()
    }


@pytest.mark.parametrize("system", [None, "nine nine"])
def test_greedy_answers_are_those_of_transformers(served, vllm_server, prompts, system):
    """So the chat template is applied exactly once, and tokens are counted alike."""
    local = answers(Transformers(model=str(vllm_server.checkpoint), system=system), prompts)
    assert len({one.text for one in local.values()}) > 5
    assert replied(answers(served(system=system), prompts)) == replied(local)


def test_texts_are_continued_as_transformers_does(served, vllm_server, prompts):
    text = GREEDY.model_copy(update={"prompting": "text"})
    local = answers(Transformers(model=str(vllm_server.checkpoint)), prompts, text)
    assert len({one.text for one in local.values()}) > 5
    assert replied(answers(served(), prompts, text)) == replied(local)


def test_stop_texts_are_cut_off_alike(served, vllm_server, prompts):
    texts = [one.text.split() for one in answers(served(), prompts).values()]
    word = next(words[1] for words in texts if len(set(words)) > 1)
    stopped = GREEDY.model_copy(update={"stop": (word,)})
    local = answers(Transformers(model=str(vllm_server.checkpoint)), prompts, stopped)
    assert replied(answers(served(), prompts, stopped)) == replied(local)
    assert any(one.completion_tokens < GREEDY.max_tokens for one in local.values())


def test_samples_differ_and_follow_from_the_seed_alone(served, prompts):
    warm = Sampling(temperature=1.0, max_tokens=12, n=3)
    found = answers(served(), prompts, warm)
    assert set(found) == {(prompt.id, index) for prompt in prompts for index in range(3)}
    assert len({one.text for one in found.values()}) > len(prompts)
    assert answers(served(concurrency=2), prompts[::-1], warm) == found
    assert answers(served(), prompts[5:9], warm).items() <= found.items()
    assert answers(served(), prompts, warm, seed=1) != found


def test_top_k_of_one_is_greedy(served, prompts):
    narrow = Sampling(temperature=1.0, top_k=1, max_tokens=12)
    texts = [
        {key: one.text for key, one in answers(served(), prompts, sampling).items()} for sampling in (narrow, GREEDY)
    ]
    assert texts[0] == texts[1]


def test_a_prompt_too_long_for_the_model_is_left_out(served, prompts, caplog):
    long = user_prompt("long", "en", "one two " * 20_000)
    assert {id for id, _ in answers(served(), [*prompts[:3], long])} == {prompt.id for prompt in prompts[:3]}
    assert "prompt 'long' refused: 400" in caplog.text


def test_a_model_that_the_server_does_not_know_is_told(served, vllm_server, prompts):
    with pytest.raises(AyaError, match="it knows the models") as error:
        answers(served(model="other"), prompts)
    assert str(vllm_server.checkpoint)[:100] in str(error.value)
