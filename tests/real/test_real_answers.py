"""Answers of published models: token by token in place, they are those of transformers' own `generate`."""

import numpy
import pytest
import torch

from aya_core.api import Completion, Sampling
from aya_plugins.modeling.draws import answer_keys
from aya_plugins.modeling.generate import generate
from aya_plugins.teachers.transformers import Transformers

GREEDY = Sampling(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def teacher(real):
    return Transformers(model=str(real), dtype="float32").build()


@pytest.fixture(scope="module")
def prompting(teacher):
    return "chat" if teacher.encoder.tokenizer.chat_template else "text"


def encoded(teacher, prompts, prompting):
    return teacher.encoder.prompts(prompts, as_text=prompting == "text")


def answers(teacher, prompts, sampling):
    found = [one for one in teacher.answer(prompts, sampling, 3) if isinstance(one, Completion)]
    return {(one.prompt_id, one.index): one.text for one in found}


def test_these_models_answer_in_place(teacher):
    assert teacher.in_place


def test_greedy_answers_are_those_of_generate_on_one_prompt_at_a_time(teacher, prompting, asked):
    """Where two tokens are as likely to a millionth, rounding may choose: from there on the answers may differ, and nowhere else."""
    prompts = encoded(teacher, asked, prompting)
    found = answers(teacher, asked, GREEDY.model_copy(update={"prompting": prompting}))
    assert len(set(found.values())) > len(asked) / 2
    for place in range(len(asked)):
        ids = torch.tensor([prompts.row(place)])
        output = teacher.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=GREEDY.max_tokens, do_sample=False,
            eos_token_id=sorted(teacher.encoder.end_ids), pad_token_id=teacher.encoder.pad_id,
        )  # fmt: skip
        expected = teacher.encoder.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert found[str(place), 0] == expected


@pytest.mark.parametrize("how", [{}, {"top_k": 40}, {"top_p": 0.9}, {"top_k": 200, "top_p": 0.8, "temperature": 0.7}])
def test_samples_are_those_of_generate_with_the_same_random_numbers(teacher, prompting, asked, how):
    sampling = Sampling(**{"temperature": 1.0, "max_tokens": 12, "n": 2, "prompting": prompting, **how})
    prompts = encoded(teacher, asked[:6], prompting)
    rows = numpy.arange(6)
    keys = answer_keys(5, [prompt.id for prompt in asked[:6]], 2)
    ours, theirs = (
        generate(teacher.model, teacher.encoder, prompts, rows, sampling, keys, in_place=flag) for flag in (True, False)
    )
    assert ours == theirs


def test_an_answer_does_not_depend_on_what_is_asked_beside_it(teacher, prompting, asked):
    sampling = Sampling(temperature=1.0, max_tokens=8, n=2, prompting=prompting)
    together, alone = answers(teacher, asked, sampling), answers(teacher, asked[3:4], sampling)
    assert alone.items() <= together.items()
